// A keystore that was changed by whoever has no password, or damaged.
#include "tests/unit/crypto/keystore_case.hpp"

#include <utility>
#include <vector>

using namespace pulsemeter;
using namespace pulsemeter::test;
using crypto::MasterKey;

BOOST_AUTO_TEST_SUITE(keystore_damage)

BOOST_AUTO_TEST_CASE(a_changed_wire_or_topic_does_not_open)
{
    const std::vector<std::function<void(nlohmann::json&)>> changes = {
        [](auto& json) { json["meters"][0]["up_topic"] = "mine"; },
        [](auto& json) { json["meters"][0]["down_topic"] = "mine"; },
        [](auto& json) {
            json["meters"][0].erase("up_topic");
            json["meters"][0].erase("down_topic");
            json["version"] = 1;
        },
    };
    for (const auto& how : changes) {
        const Folder folder;
        Keystore::create(folder.keystore(), password, cheap).add(classic_entry("shed"), MasterKey::random());
        change(folder.keystore(), how);
        BOOST_TEST(error_of_open(folder.keystore()) == "authentication: Authentication failed");
    }
    const std::vector<std::function<void(nlohmann::json&)>> damages = {
        [](auto& json) { json["meters"][0]["up_topic"] = "#"; },
        [](auto& json) { json["meters"][0]["up_topic"] = "UNITS1222"; },
        [](auto& json) { json["meters"][0].erase("up_topic"); },
        [](auto& json) { json["version"] = 1; },
    };
    for (const auto& how : damages) {
        const Folder folder;
        Keystore::create(folder.keystore(), password, cheap).add(classic_entry("shed"), MasterKey::random());
        change(folder.keystore(), how);
        BOOST_TEST(is_usage_error(error_of_open(folder.keystore()), folder.keystore(), "damaged"));
    }
}

BOOST_AUTO_TEST_CASE(a_changed_list_does_not_open)
{
    const std::vector<std::function<void(nlohmann::json&)>> changes = {
        [](auto& json) { json["meters"][0]["id"] = "mine"; },
        [](auto& json) { json["meters"][0]["max_kw"] = 17; },
        [](auto& json) { json["meters"][0]["imp_per_kwh"] = 1000; },
        [](auto& json) { json["meters"][0]["added_at"] = 0; },
        [](auto& json) { std::swap(json["meters"][0], json["meters"][1]); },
        [](auto& json) { json["meters"].erase(1); },
        [](auto& json) { json["scrypt"]["salt"] = "AAAAAAAAAAAAAAAAAAAAAA=="; },
        [](auto& json) { json["nonce"] = "AAAAAAAAAAAAAAAA"; },
        [](auto& json) { json["sealed"] = "AAAAAAAAAAAAAAAAAAAAAA=="; },
        [](auto& json) { json["sealed"] = ""; },
    };
    for (const auto& how : changes) {
        const Folder folder;
        Keystore store = Keystore::create(folder.keystore(), password, cheap);
        store.add(entry("house"), MasterKey::random());
        store.add(entry("shed"), MasterKey::random());
        change(folder.keystore(), [](auto&) {}); // another layout is no change
        BOOST_TEST(error_of_open(folder.keystore()) == "");
        change(folder.keystore(), how);
        BOOST_TEST(error_of_open(folder.keystore()) == "authentication: Authentication failed");
    }
}

BOOST_AUTO_TEST_CASE(a_missing_file_says_what_to_do)
{
    const Folder folder;
    BOOST_TEST(is_usage_error(error_of_open(folder.keystore()), folder.keystore(), "meter-server init"));
    BOOST_TEST(is_usage_error(error_of([&] { (void)Keystore::list(folder.keystore()); }), folder.keystore(),
                              "meter-server init"));
}

BOOST_AUTO_TEST_CASE(a_damaged_file_says_so)
{
    const Folder folder;
    Keystore store = Keystore::create(folder.keystore(), password, cheap);
    store.add(entry("house"), MasterKey::random());
    store.add(entry("shed"), MasterKey::random());
    const std::string good = content(folder.keystore());
    const auto damaged = [&] {
        return is_usage_error(error_of_open(folder.keystore()), folder.keystore(), "damaged");
    };

    for (std::size_t size = 0; size + 1 < good.size(); ++size) { // the last is the line's end
        write_secret_file(folder.keystore(), good.substr(0, size), Existing::replace);
        BOOST_TEST(damaged(), "cut to " << size);
    }
    const std::vector<std::function<void(nlohmann::json&)>> changes = {
        [](auto& json) { json = nlohmann::json::array(); },
        [](auto& json) { json.erase("meters"); },
        [](auto& json) { json["more"] = 1; },
        [](auto& json) { json["format"] = "other"; },
        [](auto& json) { json["version"] = "1"; },
        [](auto& json) { json["meters"] = 1; },
        [](auto& json) { json["meters"][0] = 1; },
        [](auto& json) { json["meters"][0]["id"] = "House"; },
        [](auto& json) { json["meters"][0]["id"] = "shed"; },
        [](auto& json) { json["meters"][0]["more"] = 1; },
        [](auto& json) { json["meters"][0]["imp_per_kwh"] = 0; },
        [](auto& json) { json["meters"][0]["imp_per_kwh"] = 1000001; },
        [](auto& json) { json["meters"][0]["imp_per_kwh"] = 1.5; },
        [](auto& json) { json["meters"][0]["max_kw"] = 0; },
        [](auto& json) { json["meters"][0]["max_kw"] = 4294967296; },
        [](auto& json) { json["meters"][0]["added_at"] = -1; },
        [](auto& json) { json["meters"][0]["added_at"] = 253402300800; },
        [](auto& json) { json["scrypt"] = 1; },
        [](auto& json) { json["scrypt"]["n"] = 1000; },
        [](auto& json) { json["scrypt"]["n"] = 1 << 30; }, // would take 1 TiB
        [](auto& json) { json["scrypt"]["r"] = 1 << 30; },
        [](auto& json) { json["scrypt"]["p"] = 4294967297; },
        [](auto& json) { json["scrypt"]["salt"] = "AAAA"; },
        [](auto& json) { json["nonce"] = "AAAAAAAAAAAAAAA"; },
        [](auto& json) { json["sealed"] = "AAA"; },
        [](auto& json) { json["sealed"] = nullptr; },
    };
    for (const auto& how : changes) {
        write_secret_file(folder.keystore(), good, Existing::replace);
        change(folder.keystore(), how);
        BOOST_TEST(damaged(), content(folder.keystore()));
    }
    write_secret_file(folder.keystore(), good, Existing::replace);
    change(folder.keystore(), [](auto& json) { json["version"] = 3; });
    BOOST_TEST(is_usage_error(error_of_open(folder.keystore()), folder.keystore(), "version"));
}

BOOST_AUTO_TEST_SUITE_END()
