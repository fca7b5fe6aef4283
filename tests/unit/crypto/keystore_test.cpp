#include "server/crypto/sealed_box.hpp"
#include "shared/crypto/base64url.hpp"
#include "tests/unit/crypto/keystore_case.hpp"

#include <sys/stat.h>

#include <string>
#include <thread>
#include <vector>

using namespace pulsemeter;
using namespace pulsemeter::test;
using crypto::MasterKey;
using crypto::ScryptParameters;

namespace {

constexpr const char* first_version =
    R"({"format":"pulsemeter keystore","meters":[{"added_at":1663442848,"id":"house","imp_per_kwh":10000,"max_kw":16}])"
    R"(,"nonce":"AAECAwQFBgcICQoL",)"
    R"("scrypt":{"n":1024,"p":1,"r":8,"salt":"AAECAwQFBgcICQoLDA0ODw=="},)"
    R"("sealed":"LoqAXDQYWIk-13bvEp_L30BF87Fez3KAJAMQgkrK3yyHvBRaEvG3JL_oFJTVyGkz","version":1})";

} // namespace

BOOST_AUTO_TEST_SUITE(keystore)

BOOST_AUTO_TEST_CASE(keys_come_back_with_the_password)
{
    const Folder folder;
    Keystore first = Keystore::create(folder.keystore(), password, cheap);
    const MasterKey house = MasterKey::random();
    const MasterKey shed = MasterKey::random();
    first.add(entry("shed"), shed);
    first.add(entry("house"), house);

    const Keystore again = Keystore::open(folder.keystore(), password);
    BOOST_TEST((again.meters() == std::vector{entry("shed"), entry("house")}));
    BOOST_TEST(again.key(entry("house").id).text() == house.text());
    BOOST_TEST(again.key(entry("shed").id).text() == shed.text());
    BOOST_TEST((first.meters() == again.meters()));
    BOOST_TEST(first.key(entry("shed").id).text() == shed.text());
}

BOOST_AUTO_TEST_CASE(A2_a_wrong_password_opens_nothing)
{
    const Folder folder;
    Keystore::create(folder.keystore(), password, cheap).add(entry("house"), MasterKey::random());
    for (const std::string wrong : {"", "correct hors", "correct horse ", "Correct horse"}) {
        BOOST_TEST(error_of([&] { (void)Keystore::open(folder.keystore(), wrong); }) ==
                   "authentication: Authentication failed");
    }
    // Nor one without meters, whose seal is all that there is to check.
    const Folder empty;
    (void)Keystore::create(empty.keystore(), password, cheap);
    BOOST_TEST(error_of([&] { (void)Keystore::open(empty.keystore(), "wrong"); }) ==
               "authentication: Authentication failed");
    BOOST_TEST(error_of_open(empty.keystore()) == "");
}

BOOST_AUTO_TEST_CASE(A2_the_file_states_scrypt_2_17_8_1)
{
    const Folder folder;
    (void)Keystore::create(folder.keystore(), password);
    const auto document = nlohmann::json::parse(content(folder.keystore()));
    const auto& scrypt = document.at("scrypt");
    BOOST_TEST(scrypt.at("n").get<int>() == 131072);
    BOOST_TEST(scrypt.at("r").get<int>() == 8);
    BOOST_TEST(scrypt.at("p").get<int>() == 1);
    BOOST_TEST(scrypt.at("salt").get<std::string>().size() == 24U);
    // They are what opening uses, too: with others the password is wrong.
    BOOST_TEST(error_of_open(folder.keystore()) == "");
    change(folder.keystore(), [](auto& json) { json["scrypt"]["n"] = 65536; });
    BOOST_TEST(error_of_open(folder.keystore()) == "authentication: Authentication failed");
}

BOOST_AUTO_TEST_CASE(K7_only_its_owner_may_read_it_and_no_secret_stands_in_it)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    const MasterKey key = MasterKey::random();
    store.add(entry("house"), key);
    struct stat status {};
    BOOST_TEST_REQUIRE(::stat(folder.keystore().c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 07777U) == 0600U);
    BOOST_TEST(content(folder.keystore()).find(key.text().substr(0, 20)) == std::string::npos);
    BOOST_TEST(content(folder.keystore()).find(password) == std::string::npos);
    fs::permissions(folder.keystore(), fs::perms::group_read, fs::perm_options::add);
    BOOST_TEST(is_usage_error(error_of_open(folder.keystore()), folder.keystore(), "chmod 600"));
    BOOST_TEST(is_usage_error(error_of([&] { (void)Keystore::list(folder.keystore()); }), folder.keystore(),
                              "chmod 600"));
}

BOOST_AUTO_TEST_CASE(the_list_needs_no_password)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    BOOST_TEST(Keystore::list(folder.keystore()).empty());
    store.add(entry("house"), MasterKey::random());
    BOOST_TEST((Keystore::list(folder.keystore()) == std::vector{entry("house")}));
}

BOOST_AUTO_TEST_CASE(a_classic_meter_keeps_its_topics)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    store.add(entry("house"), MasterKey::random());
    const auto version = [&] {
        return nlohmann::json::parse(content(folder.keystore())).at("version").get<int>();
    };
    BOOST_TEST(version() == 1); // older programs read it
    const MasterKey key = MasterKey::random();
    store.add(classic_entry("shed"), key);
    BOOST_TEST(version() == 2);
    const Keystore again = Keystore::open(folder.keystore(), password);
    BOOST_TEST((again.meters() == std::vector{entry("house"), classic_entry("shed")}));
    BOOST_TEST(again.key(entry("shed").id).text() == key.text());
    BOOST_TEST((Keystore::list(folder.keystore()) == again.meters()));
}

BOOST_AUTO_TEST_CASE(a_meter_that_is_removed_takes_its_key_along_and_leaves_the_others)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    Keystore running = Keystore::open(folder.keystore(), password);
    const MasterKey shed = MasterKey::random();
    const std::string audit = crypto::encode_base64url(store.audit_key().bytes());
    store.add(classic_entry("house"), MasterKey::random());
    store.add(entry("shed"), shed);
    BOOST_TEST(running.reload_if_changed());
    store.remove(entry("house").id);

    BOOST_TEST((store.meters() == std::vector{entry("shed")}));
    BOOST_TEST(running.reload_if_changed());
    BOOST_TEST((running.meters() == std::vector{entry("shed")}));
    const Keystore again = Keystore::open(folder.keystore(), password);
    BOOST_TEST((again.meters() == std::vector{entry("shed")}));
    BOOST_TEST(again.key(entry("shed").id).text() == shed.text());
    BOOST_TEST(crypto::encode_base64url(again.existing_audit_key()->bytes()) == audit);
    BOOST_TEST(nlohmann::json::parse(content(folder.keystore())).at("version").get<int>() == 1);

    const std::string before = content(folder.keystore());
    BOOST_TEST(is_usage_error(error_of([&] { store.remove(entry("house").id); }), folder.keystore(),
                              "no meter house"));
    BOOST_TEST(content(folder.keystore()) == before);

    const MasterKey anew = MasterKey::random(); // the id and the topics are free again
    store.add(classic_entry("house"), anew);
    BOOST_TEST(Keystore::open(folder.keystore(), password).key(entry("house").id).text() == anew.text());
}

BOOST_AUTO_TEST_CASE(a_keystore_of_the_first_version_still_opens)
{
    // As programs that knew the sealed wire only have written it; made with the cryptography package of Python.
    const Folder folder;
    write_secret_file(folder.keystore(), first_version, Existing::refuse);
    Keystore store = Keystore::open(folder.keystore(), password);
    BOOST_TEST((store.meters() == std::vector{entry("house")}));
    BOOST_TEST(store.key(entry("house").id).text() == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    store.add(classic_entry("shed"), MasterKey::random());
    BOOST_TEST(error_of_open(folder.keystore()) == "");
}

BOOST_AUTO_TEST_CASE(two_classic_meters_never_share_a_topic)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    store.add(classic_entry("shed"), MasterKey::random());
    const auto refused = [&](const ClassicTopics& topics) {
        MeterEntry other = entry("attic");
        other.classic = topics;
        return is_usage_error(error_of([&] { store.add(other, MasterKey::random()); }), folder.keystore(),
                              "shed");
    };
    BOOST_TEST(refused({}));
    BOOST_TEST(refused({"UNITS1221", "b"}));
    BOOST_TEST(refused({"a", "UNITS1222"}));
    BOOST_TEST(refused({"UNITS1222", "UNITS1221"}));
    MeterEntry other = entry("attic");
    other.classic = ClassicTopics{"a", "b"};
    BOOST_TEST(error_of([&] { store.add(other, MasterKey::random()); }) == "");
}

BOOST_AUTO_TEST_CASE(create_never_replaces)
{
    const Folder folder;
    Keystore::create(folder.keystore(), password, cheap).add(entry("house"), MasterKey::random());
    const std::string before = content(folder.keystore());
    BOOST_TEST(
        is_usage_error(error_of([&] { (void)Keystore::create(folder.keystore(), "another one", cheap); }),
                       folder.keystore(), "exists"));
    BOOST_TEST(content(folder.keystore()) == before);
}

BOOST_AUTO_TEST_CASE(an_id_is_taken_once)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    Keystore other = Keystore::open(folder.keystore(), password);
    const MasterKey key = MasterKey::random();
    store.add(entry("house"), key);
    // `other` has not seen it yet, the file has.
    BOOST_TEST(is_usage_error(error_of([&] { other.add(entry("house"), MasterKey::random()); }),
                              folder.keystore(), "meter house already"));
    BOOST_TEST(Keystore::open(folder.keystore(), password).key(entry("house").id).text() == key.text());
}

BOOST_AUTO_TEST_CASE(adds_at_once_all_survive)
{
    const Folder folder;
    (void)Keystore::create(folder.keystore(), password, cheap);
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&folder, thread] {
            Keystore store = Keystore::open(folder.keystore(), password);
            for (int meter = 0; meter < 8; ++meter) {
                store.add({.id = *MeterId::parse("m" + std::to_string(thread) + "-" + std::to_string(meter))},
                          MasterKey::random());
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    BOOST_TEST(Keystore::open(folder.keystore(), password).meters().size() == 32U);
}

BOOST_AUTO_TEST_CASE(a_running_server_takes_in_what_was_added)
{
    const Folder folder;
    Keystore running = Keystore::create(folder.keystore(), password, cheap);
    BOOST_TEST(!running.reload_if_changed());
    Keystore command = Keystore::open(folder.keystore(), password);
    BOOST_TEST(!command.reload_if_changed());
    const MasterKey key = MasterKey::random();
    command.add(entry("house"), key);
    BOOST_TEST(!command.reload_if_changed()); // its own doing
    BOOST_TEST(running.meters().empty());
    BOOST_TEST(running.reload_if_changed());
    BOOST_TEST((running.meters() == std::vector{entry("house")}));
    BOOST_TEST(running.key(entry("house").id).text() == key.text());
    BOOST_TEST(!running.reload_if_changed());
}

BOOST_AUTO_TEST_CASE(trouble_with_the_file_is_told_once_and_changes_nothing)
{
    const Folder folder;
    Keystore running = Keystore::create(folder.keystore(), password, cheap);
    running.add(entry("house"), MasterKey::random());
    const std::string good = content(folder.keystore());
    const auto reload = [&] { return error_of([&] { (void)running.reload_if_changed(); }); };

    fs::remove(folder.keystore());
    BOOST_TEST(is_usage_error(reload(), folder.keystore(), "no keystore"));
    BOOST_TEST(reload() == "");
    write_secret_file(folder.keystore(), "junk", Existing::replace);
    BOOST_TEST(is_usage_error(reload(), folder.keystore(), "damaged"));
    BOOST_TEST(reload() == "");
    write_secret_file(folder.keystore(), good, Existing::replace);
    change(folder.keystore(), [](auto& json) { json["meters"][0]["max_kw"] = 99; });
    BOOST_TEST(is_usage_error(reload(), folder.keystore(), "without the password"));
    fs::remove(folder.keystore());
    (void)Keystore::create(folder.keystore(), password, cheap); // another salt
    BOOST_TEST(is_usage_error(reload(), folder.keystore(), "made anew"));
    BOOST_TEST(is_usage_error(error_of([&] { running.add(entry("shed"), MasterKey::random()); }),
                              folder.keystore(), "made anew"));
    BOOST_TEST((running.meters() == std::vector{entry("house")}));

    write_secret_file(folder.keystore(), good, Existing::replace);
    BOOST_TEST(reload() == "");
    BOOST_TEST((running.meters() == std::vector{entry("house")}));
}

// Built here from what the header says of the file, by none of the keystore's own code.
BOOST_AUTO_TEST_CASE(a_file_that_is_full_takes_no_meter_that_could_not_be_read_back)
{
    const Folder folder;
    const auto salt = crypto::random_salt();
    constexpr std::size_t count = 8680;
    nlohmann::json document = {
        {"format", "pulsemeter keystore"},
        {"version", 1},
        {"scrypt", {{"n", 1024}, {"r", 8}, {"p", 1}, {"salt", crypto::encode_base64url(salt)}}},
        {"meters", nlohmann::json::array()}};
    for (std::size_t number = 1; number <= count; ++number) {
        const std::string id = "a-meter-" + std::to_string(1'000'000 + number);
        document["meters"].push_back(
            {{"id", id}, {"imp_per_kwh", 1000}, {"max_kw", 43}, {"added_at", 1663442848}});
    }
    const std::string associated = document.dump();
    const auto box = crypto::seal_box(crypto::password_key(password, salt, cheap),
                                      std::vector<std::uint8_t>(count * 32, 7),
                                      std::vector<std::uint8_t>(associated.begin(), associated.end()));
    document["nonce"] = crypto::encode_base64url(box.nonce);
    document["sealed"] = crypto::encode_base64url(box.sealed);
    BOOST_TEST_MESSAGE(document.dump().size() << " bytes");
    write_secret_file(folder.keystore(), document.dump(), Existing::replace);

    Keystore store = Keystore::open(folder.keystore(), password);
    BOOST_TEST_REQUIRE(store.meters().size() == count);
    BOOST_TEST(store.key(store.meters().back().id).text() == "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
    std::string error;
    std::size_t added = 0;
    while (error.empty() && added < 100) {
        error = error_of([&] { store.add(entry("more-" + std::to_string(added)), MasterKey::random()); });
        ++added;
    }
    BOOST_TEST(is_usage_error(error, folder.keystore(), "full"));
    BOOST_TEST(added > 1U); // it was not full to begin with
    BOOST_TEST(Keystore::open(folder.keystore(), password).meters().size() == count + added - 1);
    BOOST_TEST(store.meters().size() == count + added - 1);
}

BOOST_AUTO_TEST_CASE(the_audit_key_is_made_once_and_stays_whatever_is_added)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    store.add(entry("house"), MasterKey::random());
    BOOST_TEST(!Keystore::open(folder.keystore(), password).existing_audit_key().has_value());
    const AuditKey key = store.audit_key();
    const auto same = [&key](const AuditKey& other) {
        return std::equal(key.bytes().begin(), key.bytes().end(), other.bytes().begin());
    };
    BOOST_TEST(same(store.audit_key()));
    store.add(entry("shed"), MasterKey::random());
    Keystore again = Keystore::open(folder.keystore(), password);
    BOOST_TEST((again.meters() == std::vector{entry("house"), entry("shed")}));
    BOOST_TEST(same(again.audit_key()));

    auto document = nlohmann::json::parse(content(folder.keystore()));
    auto seal = document["audit_sealed"].get<std::string>();
    seal[3] = seal[3] == 'A' ? 'B' : 'A';
    document["audit_sealed"] = seal;
    write_secret_file(folder.keystore(), document.dump(), Existing::replace);
    BOOST_TEST(is_usage_error(error_of([&] { (void)Keystore::open(folder.keystore(), password); }),
                              folder.keystore(), "changed by someone"));
}

BOOST_AUTO_TEST_SUITE_END()
