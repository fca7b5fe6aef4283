// What `doctor` makes of the way to the broker, and of the broker's and the server's answers, told by a scripted bus.
#include "shared/reading_codec.hpp"
#include "tests/unit/loopback_port.hpp"
#include "tests/unit/meter-pi/doctor_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <functional>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

// Does at each tick what the test says.
class ScriptedBus : public MessageBus {
public:
    void subscribe(const std::string& topic) override { subscribed.push_back(topic); }
    void unsubscribe(const std::string&) override {}
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

} // namespace

BOOST_AUTO_TEST_SUITE(doctors_link)

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
    LoopbackPort port;
    BOOST_REQUIRE(::listen(port.socket(), 8) == 0);
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

BOOST_AUTO_TEST_SUITE_END()
