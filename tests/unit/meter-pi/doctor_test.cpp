// What `doctor` makes of what it sees: the clock; real state folders; the sensor's line, level and pull; the way to the
// broker; the broker's and the server's answers, told by a scripted bus; and how findings are told.
#include "meter-pi/doctor.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "shared/reading_codec.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>
#include <utility>

using namespace pulsemeter;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const std::string key_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

MeterSettings settings()
{
    return parse_meter_settings("[meter]\nid = \"hall\"\nkey = \"" + key_text +
                                    "\"\n[broker]\nurl = \"mqtt://broker.example\"\n",
                                "hall.toml");
}

// Does at each tick what the test says.
class ScriptedBus : public MessageBus {
public:
    void subscribe(const std::string& topic) override { subscribed.push_back(topic); }
    bool publish(const std::string& topic, std::string_view payload, Retain) override
    {
        published.push_back({topic, std::string(payload)});
        if (answer)
            answer();
        return true;
    }
    std::vector<BusEvent> take() override { return std::exchange(events, {}); }
    std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) override
    {
        return now + 1ms;
    }
    void close() override { closed = true; }

    std::vector<std::string> subscribed;
    std::vector<Received> published;
    std::vector<BusEvent> events;
    std::function<void()> answer;
    bool closed = false;
};

std::map<std::string, Finding> by_name(std::vector<Finding> findings)
{
    std::map<std::string, Finding> named;
    for (Finding& finding : findings)
        named.emplace(finding.check, std::move(finding));
    return named;
}

// Of loopback; it takes connections until it is closed.
class Port {
public:
    Port() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* const general = reinterpret_cast<sockaddr*>(&address);
        BOOST_REQUIRE(::bind(socket_, general, size) == 0 && ::listen(socket_, 8) == 0 &&
                      ::getsockname(socket_, general, &size) == 0);
        number_ = ntohs(address.sin_port);
    }
    ~Port() { close(); }
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    void close()
    {
        if (const int socket = std::exchange(socket_, -1); socket >= 0)
            ::close(socket);
    }
    [[nodiscard]] std::uint16_t number() const { return number_; }

private:
    int socket_;
    std::uint16_t number_ = 0;
};

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

struct World {
    MeterSettings meter = settings();
    crypto::MeterKeys keys = crypto::derive(meter.key, meter.id);
    Hello hello{.nonce = {1, 2, 3}, .source = Source::measured};
    ScriptedBus bus;
    EventLoop loop;

    void say(const DownMessage& message)
    {
        const auto plain = encode(meter.id, message);
        bus.events.emplace_back(
            Received{keys.down_topic, crypto::Fernet(keys.down).seal(plain, 0, crypto::Iv{}), 1, false});
    }
    std::map<std::string, Finding> findings(std::chrono::seconds patience = 10s)
    {
        return by_name(doctor::link(meter, hello, bus, loop, patience));
    }
};

State state_for(const Nonce& nonce)
{
    return {.nonce = nonce,
            .highest_epoch = Epoch{4},
            .epoch = Epoch{4},
            .sequence = Sequence{77},
            .total = Pulses{5},
            .constant = MeterConstant{1000}};
}

bool is(const Finding& finding, Health health)
{
    return finding.health == health;
}

} // namespace

BOOST_AUTO_TEST_SUITE(doctors)

BOOST_AUTO_TEST_CASE(a_server_that_answers_its_own_hello_is_well)
{
    World world;
    world.bus.events.emplace_back(Connected{});
    world.bus.answer = [&] {
        world.say(state_for({9})); // that of the running meter
        world.say(Confirmation{Epoch{4}, Sequence{1}, Sequence{2}});
        world.bus.events.emplace_back(Received{world.keys.down_topic, std::string(248, 'x'), 1, false});
        world.say(state_for(world.hello.nonce));
    };
    const auto findings = world.findings();
    BOOST_TEST(is(findings.at("TLS"), Health::not_looked_at));
    BOOST_TEST(is(findings.at("login"), Health::well));
    BOOST_TEST(is(findings.at("topics"), Health::well));
    BOOST_TEST(is(findings.at("server"), Health::well));
    BOOST_TEST(findings.at("server").found ==
               "it answers; it knows this register up to reading 77 of epoch 4");
    BOOST_TEST((world.bus.subscribed == std::vector{world.keys.down_topic}));
    BOOST_REQUIRE(world.bus.published.size() == 1U);
    BOOST_TEST(world.bus.published[0].topic == world.keys.up_topic);
    BOOST_TEST(world.bus.closed);
}

BOOST_AUTO_TEST_CASE(only_an_answer_to_its_own_hello_counts)
{
    World world;
    world.bus.events.emplace_back(Connected{});
    world.bus.answer = [&] { world.say(state_for({9})); };
    const auto findings = world.findings(0s + 1s);
    BOOST_TEST(is(findings.at("topics"), Health::well));
    BOOST_TEST(is(findings.at("server"), Health::wrong));
    BOOST_TEST(findings.at("server").remedy.find("meter-server") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_refused_topic_is_no_refused_login)
{
    World world;
    world.bus.events.emplace_back(Disconnected{"mqtt://broker.example: topic " + world.keys.down_topic +
                                                   ": the broker does not allow it",
                                               Loss::all_topics_refused});
    auto findings = world.findings();
    BOOST_TEST(is(findings.at("login"), Health::well));
    BOOST_TEST(is(findings.at("topics"), Health::wrong));
    BOOST_TEST(is(findings.at("server"), Health::not_looked_at));

    World refused;
    refused.bus.events.emplace_back(Disconnected{"mqtt://broker.example: the broker has banned us"});
    findings = refused.findings();
    BOOST_TEST(is(findings.at("login"), Health::wrong));
    BOOST_TEST(findings.at("login").found.find("banned") != std::string::npos);
    BOOST_TEST(is(findings.at("topics"), Health::not_looked_at));
    BOOST_TEST(refused.bus.published.empty());
}

BOOST_AUTO_TEST_CASE(a_topic_that_it_may_not_publish_to_is_refused_too)
{
    World world;
    world.bus.events.emplace_back(Connected{});
    world.bus.answer = [&] { world.bus.events.emplace_back(PublishDenied{"publishing to topic x: no"}); };
    const auto findings = world.findings();
    BOOST_TEST(is(findings.at("login"), Health::well));
    BOOST_TEST(is(findings.at("topics"), Health::wrong));
    BOOST_TEST(findings.at("topics").found == "publishing to topic x: no");
    BOOST_TEST(is(findings.at("server"), Health::not_looked_at));
}

BOOST_AUTO_TEST_CASE(a_topic_that_it_may_not_hear_beside_others_is_refused_too)
{
    World world;
    world.bus.events.emplace_back(Connected{});
    world.bus.events.emplace_back(SubscribeDenied{"topic x: not authorised"});
    const auto findings = world.findings();
    BOOST_TEST(is(findings.at("login"), Health::well));
    BOOST_TEST(is(findings.at("topics"), Health::wrong));
    BOOST_TEST(findings.at("topics").found == "topic x: not authorised");
}

BOOST_AUTO_TEST_CASE(a_broker_that_never_answers_and_a_connection_that_ends_are_told)
{
    World silent;
    auto findings = silent.findings(0s);
    BOOST_TEST(is(findings.at("login"), Health::wrong));
    BOOST_TEST(findings.at("login").remedy == "is it an MQTT broker?");
    BOOST_TEST(is(findings.at("server"), Health::not_looked_at));

    World ended;
    ended.bus.events.emplace_back(Connected{});
    ended.bus.answer = [&] { ended.bus.events.emplace_back(Disconnected{"connection lost"}); };
    findings = ended.findings();
    BOOST_TEST(is(findings.at("server"), Health::wrong));
    BOOST_TEST(findings.at("server").found == "connection lost");
}

BOOST_AUTO_TEST_CASE(the_way_to_the_broker_is_a_name_and_a_port_that_takes_connections)
{
    const auto found = [](const std::string& host, std::uint16_t port) {
        return by_name(doctor::network({.host = host, .port = port}));
    };
    Port port;
    for (const std::string host : {"127.0.0.1", "localhost"}) {
        const auto there = found(host, port.number());
        BOOST_TEST(is(there.at("broker resolves"), Health::well));
        BOOST_TEST(is(there.at("broker connects"), Health::well), there.at("broker connects").found);
    }
    port.close();
    const auto closed = found("127.0.0.1", port.number());
    BOOST_TEST(is(closed.at("broker resolves"), Health::well));
    BOOST_TEST(is(closed.at("broker connects"), Health::wrong));
    BOOST_TEST(closed.at("broker connects").found.find(std::to_string(port.number())) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_line_is_found_free_ours_or_held_by_others)
{
    const LinePlace place = LineName{"GPIO17"};
    const auto found = doctor::line(place, FoundLine{"/dev/gpiochip0", 17}, std::nullopt);
    BOOST_TEST(all_well(found));
    BOOST_TEST(found[0].found == "GPIO17 is line 17 of /dev/gpiochip0");

    const tl::expected<FoundLine, NoLine> ours =
        tl::unexpected(NoLine{LineTrouble::held, "is in use", "meter-pi"});
    BOOST_TEST(all_well(doctor::line(place, ours, "meter-pi (pid 7)")));
    BOOST_TEST(is(doctor::line(place, ours, std::nullopt)[1], Health::wrong)); // a meter-pi of another folder
    const tl::expected<FoundLine, NoLine> theirs =
        tl::unexpected(NoLine{LineTrouble::held, "is in use", "pigpiod"});
    BOOST_TEST(is(doctor::line(place, theirs, "meter-pi (pid 7)")[1], Health::wrong));
    const tl::expected<FoundLine, NoLine> missing =
        tl::unexpected(NoLine{LineTrouble::not_there, "no such line"});
    BOOST_TEST(is(doctor::line(place, missing, std::nullopt)[0], Health::wrong));
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

BOOST_AUTO_TEST_SUITE_END()
