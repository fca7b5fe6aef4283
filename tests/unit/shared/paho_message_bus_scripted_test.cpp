// What the bus makes of brokers that say what the test tells them, or nothing at all.
#include "live_bus.hpp"
#include "shared/paho_message_bus.hpp"

namespace pulsemeter {
namespace {

BOOST_AUTO_TEST_SUITE(paho_message_bus_scripted)

BOOST_AUTO_TEST_CASE(B1_a_broker_that_never_answers_is_given_up)
{
    const LoopbackPort port;
    BOOST_REQUIRE(::listen(port.socket(), 100) == 0); // the kernel takes the connection, and that is all
    World world;
    Program program(world.loop, port.settings());
    const auto start = steady_clock::now();
    BOOST_TEST((program.bus.tick(start) <= start + seconds(10)));
    program.take();
    BOOST_TEST(program.reasons.empty());
    const auto retry = program.bus.tick(start + seconds(10));
    program.take();
    BOOST_REQUIRE(program.reasons.size() == 1U);
    BOOST_TEST(program.reasons[0] ==
               port.settings().url.text() +
                   ": no answer within 10 s: check the network, and host and port in url");
    BOOST_TEST((retry >= start + milliseconds(10'250)));
    BOOST_TEST((retry <= start + milliseconds(10'500)));
    program.bus.tick(retry); // connects anew; destroyed in the middle of it
}

BOOST_AUTO_TEST_CASE(I2_a_broker_of_version_5_is_told_what_is_too_large_and_too_much)
{
    const LoopbackPort port;
    BOOST_REQUIRE(::listen(port.socket(), 100) == 0);
    World world;
    Program program(world.loop, port.settings());
    program.bus.tick(steady_clock::now());
    const int accepted = ::accept4(port.socket(), nullptr, nullptr, SOCK_CLOEXEC);
    std::array<char, 1000> packet{};
    const ssize_t size = ::read(accepted, packet.data(), packet.size());
    ::close(accepted);
    BOOST_REQUIRE(size > 0);
    const std::string connect(packet.data(), static_cast<std::size_t>(size));
    BOOST_TEST(contains(connect, bytes({0x11, 0, 0, 0, 0})));    // session expiry: at once
    BOOST_TEST(contains(connect, bytes({0x21, 0x03, 0xe8})));    // receive maximum: 1000
    BOOST_TEST(contains(connect, bytes({0x27, 0, 0x01, 0, 0}))); // maximum packet size: 64 KiB
}

BOOST_AUTO_TEST_CASE(B1_the_wait_doubles_up_to_half_a_minute)
{
    const LoopbackPort port;
    BOOST_REQUIRE(::listen(port.socket(), 100) == 0); // the kernel takes the connection, and that is all
    World world;
    Program program(world.loop, port.settings());
    auto now = steady_clock::now();
    program.bus.tick(now);
    for (int step = 500; step < 100'000; step *= 2) {
        now += seconds(10);
        const auto retry = program.bus.tick(now);
        const int most = std::min(step, 30'000);
        BOOST_TEST((retry - now >= milliseconds(most / 2)));
        BOOST_TEST((retry - now <= milliseconds(most)));
        now = retry;
        program.bus.tick(now);
    }
}

BOOST_AUTO_TEST_CASE(a_broker_that_says_no_is_understood)
{
    const auto v5 = MqttVersion::v5;
    const auto v3 = MqttVersion::v3_1_1;
    const std::string nobody = "not authorised: the broker lets nobody in without a name: set username and "
                               "password_file in [broker], or allow anonymous clients there";
    BOOST_TEST(first_reason(v5, {bytes({0x20, 3, 0, 0x87, 0})}) == nobody);
    BOOST_TEST(first_reason(v5, {bytes({0x20, 3, 0, 0x86, 0})}) == nobody);
    BOOST_TEST(first_reason(v3, {bytes({0x20, 2, 0, 5})}) == nobody);
    BOOST_TEST(first_reason(v3, {bytes({0x20, 2, 0, 4})}) == nobody);
    BOOST_TEST(first_reason(v5, {bytes({0x20, 3, 0, 0x84, 0})}) ==
               "the broker does not speak MQTT 5: set mqtt_version = \"3.1.1\" in [broker]");
    BOOST_TEST(contains(first_reason(v5, {bytes({0x20, 2, 0, 1})}),
                        "set mqtt_version = \"3.1.1\"")); // a 3.1.1 broker
    BOOST_TEST(first_reason(v3, {bytes({0x20, 2, 0, 0x63})}) == "the broker refuses (code 99)");
}

BOOST_AUTO_TEST_CASE(a_topic_that_the_broker_refuses_is_named)
{
    BOOST_TEST(first_reason(MqttVersion::v5, {connack_5, bytes({0x90, 4, 0, 1, 0, 0x87})}) ==
               "topic some/topic: not authorised: the broker's access list forbids it to anonymous clients: "
               "allow it there");
    BOOST_TEST(first_reason(MqttVersion::v3_1_1, {connack_3, bytes({0x90, 3, 0, 1, 0x80})}) ==
               "topic some/topic: not authorised: the broker's access list forbids it to anonymous clients: "
               "allow it there");
}

BOOST_AUTO_TEST_CASE(a_topic_that_is_refused_beside_others_ends_nothing_and_is_tried_again)
{
    for (const auto version : {MqttVersion::v5, MqttVersion::v3_1_1}) {
        const bool v5 = version == MqttVersion::v5;
        const auto suback = [v5](int id, bool granted) {
            return v5 ? bytes({0x90, 4, 0, id, 0, granted ? 1 : 0x87})
                      : bytes({0x90, 3, 0, id, granted ? 1 : 0x80});
        };
        ScriptedBroker scripted({v5 ? connack_5 : connack_3, suback(1, true), suback(2, false),
                                 suback(3, false), suback(4, true), suback(5, true)});
        World world;
        Program program(world.loop, scripted.settings(version));
        program.bus.subscribe("good");
        world.connect({&program});
        program.bus.subscribe("bad");
        world.run_until({&program}, [&] { return !program.denials.empty(); });
        BOOST_TEST(program.denials[0] ==
                   scripted.settings(version).url.text() +
                       ": topic bad: not authorised: the broker's access list forbids it to anonymous "
                       "clients: allow it there");
        program.bus.subscribe("bad too");
        while (!scripted.answered(4)) // of which the third refusal is told within the minute by nothing
            world.run_for({&program}, milliseconds(10));
        world.run_for({&program}, milliseconds(100));
        const auto again = program.bus.tick(steady_clock::now());
        BOOST_TEST((again <= steady_clock::now() + std::chrono::minutes(1)));
        BOOST_TEST(!scripted.done());
        program.bus.tick(again);
        world.run_until({&program}, [&] { return scripted.done(); });
        BOOST_TEST(program.denials.size() == 1U);
        BOOST_TEST(program.connects == 1);
        BOOST_TEST(program.reasons.empty());
    }
}

BOOST_AUTO_TEST_CASE(no_topic_granted_is_no_connection)
{
    const auto refused = [](int id) { return bytes({0x90, 4, 0, id, 0, 0x87}); };
    ScriptedBroker scripted({connack_5, refused(1), refused(2)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.subscribe("two");
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    BOOST_TEST(contains(program.reasons[0], ": topic one and 1 more: not authorised: "), program.reasons[0]);
    BOOST_TEST((program.last_loss == Loss::all_topics_refused));
    BOOST_TEST(program.connects == 0);
    BOOST_TEST(program.denials.empty());
}

BOOST_AUTO_TEST_CASE(a_connection_without_a_required_topic_is_none)
{
    ScriptedBroker scripted({connack_5, bytes({0x90, 4, 0, 1, 0, 1}), bytes({0x90, 4, 0, 2, 0, 0x87})});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.require("two");
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    BOOST_TEST(contains(program.reasons[0], ": topic two: not authorised: "), program.reasons[0]);
    BOOST_TEST((program.last_loss == Loss::all_topics_refused));
    BOOST_TEST(program.connects == 0);
}

BOOST_AUTO_TEST_CASE(a_topic_that_no_broker_takes_is_told_apart_from_a_forbidden_one)
{
    const auto v5 = MqttVersion::v5;
    const auto v3 = MqttVersion::v3_1_1;
    const auto loss = [](MqttVersion version, const std::vector<std::string>& answers) {
        ScriptedBroker scripted(answers);
        World world;
        Program program(world.loop, scripted.settings(version));
        program.bus.subscribe("some/topic");
        world.run_until({&program}, [&] { return !program.reasons.empty(); });
        return program.last_loss;
    };
    BOOST_TEST((loss(v5, {connack_5, bytes({0x90, 4, 0, 1, 0, 0x87})}) == Loss::all_topics_refused));
    BOOST_TEST((loss(v5, {connack_5, bytes({0x90, 4, 0, 1, 0, 0x8f})}) == Loss::topic_not_taken));
    BOOST_TEST((loss(v5, {connack_5, bytes({0xe0, 1, 0x81})}) == Loss::topic_not_taken));
    BOOST_TEST((loss(v5, {connack_5, bytes({0xe0, 1, 0x8b})}) == Loss::connection)); // it shuts down
    BOOST_TEST((loss(v5, {bytes({0x20, 3, 0, 0x81, 0})}) == Loss::connection)); // before anything was asked
    BOOST_TEST((loss(v3, {connack_3, bytes({0x90, 3, 0, 1, 0x80})}) == Loss::all_topics_refused));
}

BOOST_AUTO_TEST_CASE(what_a_broker_says_comes_with_what_to_do_about_it)
{
    for (const int code : {0x81, 0x82, 0x84, 0x85, 0x88, 0x89, 0x8a, 0x97, 0x9f}) {
        const auto reason = first_reason(MqttVersion::v5, {bytes({0x20, 3, 0, code, 0})});
        BOOST_TEST(contains(reason, ": "), reason);
        BOOST_TEST(!contains(reason, "0x"), reason);
    }
    BOOST_TEST(contains(first_reason(MqttVersion::v3_1_1, {bytes({0x20, 2, 0, 2})}), "allow it there"));
}

BOOST_AUTO_TEST_CASE(B3_a_client_id_that_was_taken_over_is_said_to_be)
{
    const auto reason = first_reason(MqttVersion::v5, {connack_5, bytes({0xe0, 1, 0x8e})});
    BOOST_TEST(contains(reason, "another client took over our client id client-"), reason);
}

BOOST_AUTO_TEST_CASE(no_connection_without_the_answer_to_every_subscription)
{
    const auto suback = [](int id) { return bytes({0x90, 4, 0, id, 0, 1}); };
    ScriptedBroker scripted({connack_5, suback(1), "", suback(3)}); // and not 2
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    for (const char* topic : {"one", "two", "three"})
        program.bus.subscribe(topic);
    while (!scripted.done())
        world.run_for({&program}, milliseconds(20));
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.connects == 0);
    BOOST_TEST(program.reasons.empty());
    program.bus.tick(steady_clock::now() + seconds(10));
    program.take();
    BOOST_REQUIRE(program.reasons.size() == 1U);
    BOOST_TEST(contains(program.reasons[0], "no answer to a subscription within 10 s"), program.reasons[0]);
}

std::string suback_5(int id, int code = 1)
{
    return bytes({0x90, 4, 0, id, 0, code});
}

std::string unsuback_5(int id)
{
    return bytes({0xb0, 4, 0, id, 0, 0});
}

BOOST_AUTO_TEST_CASE(a_topic_that_is_wanted_no_more_is_not_asked_for_at_a_connect)
{
    ScriptedBroker scripted({connack_5, suback_5(1)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.require("two");
    program.bus.unsubscribe("two");
    program.bus.unsubscribe("three"); // that nobody has ever asked for
    world.connect({&program});
    BOOST_TEST(scripted.done());
}

BOOST_AUTO_TEST_CASE(a_topic_that_was_required_is_an_ordinary_one_afterwards)
{
    ScriptedBroker scripted({connack_5, suback_5(1), suback_5(2, 0x87)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.require("two");
    program.bus.unsubscribe("two");
    program.bus.subscribe("two");
    world.run_until({&program}, [&] { return !program.denials.empty(); });
    BOOST_TEST(program.connected);
    BOOST_TEST(program.reasons.empty());
}

BOOST_AUTO_TEST_CASE(a_connection_is_ready_when_the_last_topic_without_an_answer_is_wanted_no_more)
{
    ScriptedBroker scripted({connack_5, suback_5(1), "", "", unsuback_5(4), unsuback_5(5)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    for (const char* topic : {"one", "two", "three"}) // by name: one, three, two
        program.bus.subscribe(topic);
    run_until_answered(world, program, scripted, 4);
    program.bus.unsubscribe("two");
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.connects == 0); // three is not answered yet
    program.bus.unsubscribe("three");
    program.take();
    BOOST_TEST(program.connects == 1);
    BOOST_TEST(program.reasons.empty());
}

BOOST_AUTO_TEST_CASE(only_the_answer_to_the_last_subscription_to_a_topic_is_one)
{
    // That of "b", which is given up and asked for anew, comes late, and is a refusal.
    ScriptedBroker scripted({connack_5, suback_5(1), "", "", "", suback_5(2, 0x87) + suback_5(3),
                             suback_5(6) + suback_5(5), unsuback_5(7), ""});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    for (const char* topic : {"a", "b", "c"})
        program.bus.subscribe(topic);
    run_until_answered(world, program, scripted, 4);
    program.bus.unsubscribe("b");
    program.bus.subscribe("b");
    run_until_answered(world, program, scripted, 6);
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.connects == 0);
    program.bus.subscribe("d");
    world.connect({&program});
    BOOST_TEST(program.denials.empty());
    BOOST_TEST(program.reasons.empty());
}

BOOST_AUTO_TEST_CASE(a_late_answer_to_what_is_wanted_no_more_counts_for_nothing)
{
    ScriptedBroker scripted(
        {connack_5, suback_5(1), "", "", suback_5(2, 0x87) + unsuback_5(4), suback_5(3) + suback_5(5)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    for (const char* topic : {"a", "b", "c"})
        program.bus.subscribe(topic);
    run_until_answered(world, program, scripted, 4);
    program.bus.unsubscribe("b");
    run_until_answered(world, program, scripted, 5);
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.connects == 0); // "c" is not answered yet
    program.bus.subscribe("d");
    world.connect({&program});
    BOOST_TEST(program.denials.empty());
    BOOST_TEST(program.reasons.empty());
}

BOOST_AUTO_TEST_CASE(a_connection_whose_only_good_topic_is_wanted_no_more_is_none)
{
    ScriptedBroker scripted({connack_5, suback_5(1), suback_5(2, 0x87), unsuback_5(3)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.subscribe("two");
    world.run_until({&program}, [&] { return !program.denials.empty(); });
    BOOST_TEST(program.reasons.empty());
    program.bus.unsubscribe("one");
    program.take();
    BOOST_REQUIRE(program.reasons.size() == 1U);
    BOOST_TEST(contains(program.reasons[0], ": topic two: not authorised: "), program.reasons[0]);
    BOOST_TEST((program.last_loss == Loss::all_topics_refused));
}

BOOST_AUTO_TEST_CASE(a_connection_of_which_no_topic_is_left_stays)
{
    ScriptedBroker scripted({connack_5, suback_5(1), suback_5(2, 0x87), "", bytes({0xb0, 4, 0, 4, 0, 0x87})});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    program.bus.subscribe("one");
    program.bus.subscribe("two");
    world.run_until({&program}, [&] { return !program.denials.empty(); });
    program.bus.unsubscribe("two");
    program.bus.unsubscribe("one");
    while (!scripted.done()) // nobody waits for the one answer, and the other is that it may not be
        world.run_for({&program}, milliseconds(20));
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.reasons.empty());
    BOOST_TEST(program.bus.publish("some/topic", "still there", Retain::no));
}

BOOST_AUTO_TEST_CASE(B2_a_broker_that_no_longer_acknowledges_is_left)
{
    for (const auto version : {MqttVersion::v5, MqttVersion::v3_1_1}) {
        ScriptedBroker scripted({version == MqttVersion::v5 ? connack_5 : connack_3, "", ""});
        World world;
        Program program(world.loop, scripted.settings(version));
        world.connect({&program});
        BOOST_TEST(program.bus.publish("some/topic", "one", Retain::no));
        BOOST_TEST(program.bus.publish("some/topic", "two", Retain::no));
        while (!scripted.done())
            world.run_for({&program}, milliseconds(10));
        const auto now = steady_clock::now();
        const auto due = program.bus.tick(now);
        BOOST_TEST((due > now + seconds(30)));
        BOOST_TEST((due <= now + seconds(45)));
        program.take();
        BOOST_TEST(program.reasons.empty());
        program.bus.tick(due);
        program.take();
        BOOST_REQUIRE(program.reasons.size() == 1U);
        BOOST_TEST(contains(program.reasons[0], "no longer acknowledges"), program.reasons[0]);
    }
}

// As Paho may lose one from among others: the window must not shrink for ever.
BOOST_AUTO_TEST_CASE(B1_a_message_that_is_not_acknowledged_as_others_are_is_missed)
{
    const auto puback = [](int id) { return bytes({0x40, 2, 0, id}); };
    ScriptedBroker scripted({connack_5, "", puback(2), puback(3)});
    World world;
    Program program(world.loop, scripted.settings(MqttVersion::v5));
    world.connect({&program});
    for (const char* text : {"one", "two", "three"})
        BOOST_TEST(program.bus.publish("some/topic", text, Retain::no));
    while (!scripted.done())
        world.run_for({&program}, milliseconds(10));
    world.run_for({&program}, milliseconds(200)); // until the answers are taken in
    auto due = program.bus.tick(steady_clock::now());
    BOOST_TEST((due <= steady_clock::now() + seconds(45)));
    for (int looks = 0; looks < 2; ++looks) // the first may be due by what was acknowledged since
        due = program.bus.tick(due);
    program.take();
    BOOST_TEST(program.reasons.size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
