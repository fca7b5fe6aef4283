// What `doctor` makes of what it sees here: the clock; real state folders; the sensor's line, level and pull; and how
// findings are told. Of broker and server: doctor_link_test.cpp.
#include "meter-pi/sqlite_meter_store.hpp"
#include "shared/files.hpp"
#include "tests/unit/meter-pi/doctor_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include <fstream>

using namespace pulsemeter;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

// This thread's rights to files while it lives: no more than anybody's.
class NobodySpecial {
public:
    NobodySpecial()
    {
        if (user_ == 0)
            BOOST_REQUIRE(::seteuid(65'534) == 0);
    }
    ~NobodySpecial()
    {
        if (user_ == 0)
            BOOST_TEST(::seteuid(user_) == 0);
    }
    NobodySpecial(const NobodySpecial&) = delete;
    NobodySpecial& operator=(const NobodySpecial&) = delete;

private:
    uid_t user_ = ::geteuid();
};

} // namespace

BOOST_AUTO_TEST_SUITE(doctors)

BOOST_AUTO_TEST_CASE(a_line_is_found_free_ours_or_held_by_others)
{
    const LinePlace place = LineName{"GPIO17"};
    const auto found = doctor::line(place, FoundLine{"/dev/gpiochip0", 17}, {});
    BOOST_TEST(all_well(found));
    BOOST_TEST(found[0].found == "GPIO17 is line 17 of /dev/gpiochip0");

    const tl::expected<FoundLine, NoLine> ours =
        tl::unexpected(NoLine{LineTrouble::held, "is in use", "meter-pi"});
    const doctor::Running running{doctor::Running::Seen::meter, "meter-pi (pid 7)"};
    BOOST_TEST(doctor::line(place, ours, running)[1].found == "meter-pi (pid 7) has it, as it should");
    BOOST_TEST(is(doctor::line(place, ours, {doctor::Running::Seen::nothing, ""})[1], Health::not_looked_at));
    BOOST_TEST(is(doctor::line(place, ours, {})[1], Health::wrong)); // a meter-pi of another folder
    const tl::expected<FoundLine, NoLine> theirs =
        tl::unexpected(NoLine{LineTrouble::held, "is in use", "pigpiod"});
    BOOST_TEST(is(doctor::line(place, theirs, running)[1], Health::wrong));
    const tl::expected<FoundLine, NoLine> missing =
        tl::unexpected(NoLine{LineTrouble::not_there, "no such line"});
    BOOST_TEST(is(doctor::line(place, missing, {})[0], Health::wrong));
}

BOOST_AUTO_TEST_CASE(a_level_is_idle_busy_stuck_or_floating)
{
    std::vector<Edge> edges(6);
    BOOST_TEST(doctor::level(Level::inactive, {}, 1s).found == "idle");
    BOOST_TEST(is(doctor::level(Level::inactive, edges, 1s), Health::well));
    BOOST_TEST(is(doctor::level(Level::active, edges, 1s), Health::well)); // it was lit when we came
    BOOST_TEST(is(doctor::level(Level::active, {}, 3s), Health::wrong));
    edges.resize(5'000);
    BOOST_TEST(is(doctor::level(Level::inactive, edges, 1s), Health::wrong));
    BOOST_TEST(is(doctor::level(Level::inactive, edges, 10s), Health::well));
}

BOOST_AUTO_TEST_CASE(a_pull_towards_the_lit_level_and_pins_with_a_pull_of_their_own_are_wrong)
{
    GpioSettings gpio;
    BOOST_TEST(is(doctor::pull(gpio), Health::well));
    gpio.active = ActiveLevel::high;
    BOOST_TEST(is(doctor::pull(gpio), Health::wrong));
    gpio.pull = Pull::down;
    BOOST_TEST(is(doctor::pull(gpio), Health::well));
    gpio.pull = Pull::none;
    BOOST_TEST(is(doctor::pull(gpio), Health::well));
    gpio.line = LineName{"GPIO3"};
    BOOST_TEST(is(doctor::pull(gpio), Health::wrong));
    gpio.line = LineOffset{"pinctrl-rp1", 2};
    BOOST_TEST(is(doctor::pull(gpio), Health::wrong));
    gpio.line = LineOffset{"pinctrl-rp1", 17};
    BOOST_TEST(is(doctor::pull(gpio), Health::well));
    gpio.line = LineOffset{"an-expander", 2};
    BOOST_TEST(is(doctor::pull(gpio), Health::well));
}

BOOST_AUTO_TEST_CASE(a_clock_that_nobody_has_set_is_wrong)
{
    BOOST_TEST(is(doctor::clock(Clock::synchronised), Health::well));
    BOOST_TEST(is(doctor::clock(Clock::unsynchronised), Health::wrong));
    BOOST_TEST(doctor::clock(Clock::unsynchronised).remedy.find("timedatectl") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_state_folder_is_there_or_can_be_made)
{
    const TemporaryFolder folder;
    const auto health = [&](const fs::path& state) {
        return by_name(doctor::state(state, nullptr)).at("state folder").health;
    };
    BOOST_TEST((health(folder.path()) == Health::well));
    BOOST_TEST((health(folder.path() / "new" / "meter") == Health::well));
    BOOST_TEST(!fs::exists(folder.path() / "new"));
    std::ofstream(folder.path() / "file").put('x');
    for (const fs::path& state : {folder.path() / "file", folder.path() / "file" / "meter"}) {
        const Finding finding = by_name(doctor::state(state, nullptr)).at("state folder");
        BOOST_TEST(is(finding, Health::wrong));
        BOOST_TEST(finding.found == (folder.path() / "file").string() + " is no folder");
    }
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    {
        const NobodySpecial caller; // root may do what the mode forbids
        BOOST_TEST((health(folder.path()) == Health::wrong));
    }
    fs::permissions(folder.path(), fs::perms::owner_all);
}

BOOST_AUTO_TEST_CASE(of_a_folder_that_cannot_be_looked_into_nothing_is_said_to_be_well)
{
    const TemporaryFolder folder;
    const fs::path state = folder.path() / "state";
    BOOST_REQUIRE(fs::create_directory(state));
    const auto pid = std::to_string(::getpid());
    std::ofstream(state / "lock") << pid << " "
                                  << read_file("/proc/" + pid + "/comm"); // an emulator's, if one runs us
    fs::permissions(folder.path(), fs::perms::all);
    fs::permissions(state, fs::perms::none);
    {
        const NobodySpecial caller;
        const auto found = by_name(doctor::state(state, nullptr));
        BOOST_TEST(is(found.at("state folder"), Health::wrong));
        BOOST_TEST(is(found.at("free space"), Health::well));
        for (const char* const check : {"file modes", "running", "register", "held readings"})
            BOOST_TEST(is(found.at(check), Health::not_looked_at), check);
        BOOST_TEST((doctor::running_meter(state).seen == doctor::Running::Seen::nothing));
        const auto refusal = [&] { SqliteMeterStore store(state, StoreAccess::look); };
        BOOST_CHECK_EXCEPTION(refusal(), UsageError, [](const UsageError& error) {
            return std::string(error.what()).find("run this as the meter's user") != std::string::npos;
        });
    }
    fs::permissions(state, fs::perms::owner_all);
    BOOST_TEST((doctor::running_meter(state).seen == doctor::Running::Seen::meter));
}

BOOST_AUTO_TEST_CASE(what_others_may_change_is_wrong)
{
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "lock").put('\n');
    const auto modes = [&] { return by_name(doctor::state(folder.path(), nullptr)).at("file modes"); };
    BOOST_TEST(is(modes(), Health::well));
    for (const fs::path& path : {folder.path(), folder.path() / "lock"}) {
        for (const auto others : {fs::perms::group_write, fs::perms::others_write}) {
            const fs::perms right = fs::status(path).permissions();
            fs::permissions(path, others, fs::perm_options::add);
            BOOST_TEST(is(modes(), Health::wrong), path);
            BOOST_TEST(modes().remedy == "chmod go-w " + path.string());
            fs::permissions(path, right);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_register_is_this_meters_and_of_its_constant_and_nothing_of_it_is_held)
{
    const TemporaryFolder folder;
    MeterSettings meter = settings();
    const auto look = [&] { return by_name(doctor::state(folder.path(), &meter)); };
    BOOST_TEST(is(look().at("register"), Health::well));
    BOOST_TEST(is(look().at("held readings"), Health::not_looked_at));
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    store.claim(owner_text(meter));
    BOOST_TEST(look().at("register").found == "empty");
    StoreChange change{.register_now = {.source = Source::measured,
                                        .epoch = Epoch{1},
                                        .last = Sequence{1},
                                        .total = Pulses{1500},
                                        .numbered = Pulses{1500},
                                        .constant = meter.constant},
                       .reading = Reading{.epoch = Epoch{1},
                                          .sequence = Sequence{1},
                                          .total = Pulses{1500},
                                          .constant = meter.constant,
                                          .source = Source::measured}};
    BOOST_TEST(store.commit(change) == 0U);
    BOOST_TEST(look().at("register").found == "1.500 kWh measured");
    BOOST_TEST(look().at("held readings").found == "none; 1 readings wait for confirmation");

    const std::vector refused{Refused{Epoch{1}, Sequence{1}, RefusalReason::total_jumped}};
    change.reading.reset();
    change.refused = refused;
    BOOST_TEST(store.commit(change) == 0U);
    BOOST_TEST(is(look().at("held readings"), Health::wrong));

    meter.constant = MeterConstant{800};
    BOOST_TEST(is(look().at("register"), Health::wrong));
    BOOST_TEST(look().at("register").found.find("1000 imp/kWh") != std::string::npos);

    const TemporaryFolder tried_out;
    SqliteMeterStore simulated(tried_out.path(), StoreAccess::own);
    BOOST_TEST(simulated.commit(
                   {.register_now = {.source = Source::simulated, .constant = MeterConstant{1000}}}) == 0U);
    const Finding finding = by_name(doctor::state(tried_out.path(), &meter)).at("register");
    BOOST_TEST(is(finding, Health::wrong));
    BOOST_TEST(finding.remedy.ends_with("register set --simulated"));
}

BOOST_AUTO_TEST_CASE(a_full_outbox_must_have_room)
{
    BOOST_TEST(
        is(by_name(doctor::state("/proc", nullptr)).at("free space"), Health::wrong)); // it never has any
    BOOST_TEST(is(doctor::free_space(63'999'999), Health::wrong));
    BOOST_TEST(is(doctor::free_space(64'000'000), Health::well));
}

BOOST_AUTO_TEST_CASE(findings_are_told_in_one_line_each)
{
    const Finding bad = wrong("clock", "not\nsynchronised", "set it");
    BOOST_TEST(line_of(bad, Marks::utf8) == "✗ clock: not synchronised: set it");
    BOOST_TEST(line_of(bad, Marks::ascii) == "FAIL clock: not synchronised: set it");
    BOOST_TEST(line_of(well("key", "there"), Marks::utf8) == "✓ key: there");
    BOOST_TEST(line_of(not_looked_at("TLS", "not used"), Marks::utf8) == "- TLS: not used");
    const std::vector<Finding> findings{well("a", ""), not_looked_at("b", "")};
    BOOST_TEST(all_well(findings));
    BOOST_TEST(!all_well(std::vector<Finding>{well("a", ""), bad}));
    BOOST_TEST((marks_for(nullptr, "", "en_GB.UTF-8") == Marks::utf8));
    BOOST_TEST((marks_for("C", nullptr, "en_GB.UTF-8") == Marks::ascii));
    BOOST_TEST((marks_for(nullptr, nullptr, nullptr) == Marks::ascii));
    BOOST_TEST((marks_for("de_DE.utf8", nullptr, nullptr) == Marks::utf8));
}

BOOST_AUTO_TEST_CASE(the_packaged_service_sees_the_regular_files_of_its_folder_only)
{
    const TemporaryFolder folder;
    const fs::path service = folder.path();
    fs::create_directory(service / "broker");
    const auto file = [](const fs::path& path, fs::perms mode) {
        std::ofstream(path) << "secret";
        fs::permissions(path, mode);
        return path;
    };
    const auto looked_at = [&](const fs::path& password) {
        BrokerSettings broker;
        broker.password_file = password;
        return doctor::broker_files(broker, service);
    };
    constexpr auto secret = fs::perms::owner_read | fs::perms::owner_write;
    const fs::path handed = file(service / "broker" / "password", secret);
    BOOST_TEST((looked_at(handed).health == Health::well));

    fs::create_symlink(handed, service / "broker" / "link");
    BOOST_TEST((looked_at(service / "broker" / "link").health == Health::wrong));
    const Finding beside = looked_at(file(service / "password", secret));
    BOOST_TEST((beside.health == Health::wrong));
    BOOST_TEST(beside.remedy ==
               "put it into the folder /etc/pulsemeter/broker, and write \"broker/password\"");
    BOOST_TEST((doctor::broker_files({}, service).health == Health::not_looked_at));

    (void)file(service / "broker" / "a:b", secret);
    BOOST_TEST((looked_at(handed).health == Health::wrong)); // systemd would start nothing beside it
    BrokerSettings own;
    own.password_file = handed;
    BOOST_TEST((doctor::broker_files(own, std::nullopt).health == Health::well));
}

BOOST_AUTO_TEST_SUITE_END()
