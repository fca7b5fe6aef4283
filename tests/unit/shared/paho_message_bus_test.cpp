// Against a real mosquitto, which with_broker.py starts, kills, freezes and starts again.
#include "live_bus.hpp"
#include "shared/paho_message_bus.hpp"

#include <netinet/tcp.h>

namespace pulsemeter {
namespace {

struct SocketCount {
    int all = 0;
    int undelayed = 0;
};

SocketCount sockets_to_the_broker()
{
    SocketCount count;
    for (int descriptor = 0; descriptor < 1024; ++descriptor) {
        sockaddr_in peer{};
        socklen_t length = sizeof(peer);
        if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) != 0 ||
            peer.sin_family != AF_INET || ntohs(peer.sin_port) != broker_port())
            continue;
        int on = 0;
        length = sizeof(on);
        BOOST_REQUIRE(::getsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, &length) == 0);
        ++count.all;
        count.undelayed += on != 0 ? 1 : 0;
    }
    return count;
}

constexpr const char* refused = ": connection refused: start the broker, or correct host and port in url";

const auto both_versions = {MqttVersion::v5, MqttVersion::v3_1_1};

BOOST_AUTO_TEST_SUITE(paho_message_bus)

BOOST_AUTO_TEST_CASE(what_is_published_arrives)
{
    for (const auto version : both_versions) {
        World world;
        const auto topic = unique("topic");
        Program meter(world.loop, settings(version));
        Program server(world.loop, settings(version));
        server.bus.subscribe(topic);
        world.connect({&meter, &server});

        const std::string payload("a\0\xff", 3);
        BOOST_TEST(meter.bus.publish(topic, payload, Retain::no));
        world.run_until({&meter, &server}, [&] { return !server.received.empty(); });
        BOOST_TEST(server.received[0].topic == topic);
        BOOST_TEST(server.received[0].payload == payload);
        BOOST_TEST(server.received[0].qos == 1);
        BOOST_TEST(!server.received[0].retained);
        BOOST_TEST(server.connects == 1);
        BOOST_TEST(server.reasons.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_retained_message_waits_for_who_comes_later)
{
    for (const auto version : both_versions) {
        World world;
        const auto topic = unique("topic");
        Program meter(world.loop, settings(version));
        Program early(world.loop, settings(version));
        early.bus.subscribe(topic);
        world.connect({&meter, &early});
        BOOST_TEST(meter.bus.publish(topic, "kept", Retain::yes));
        world.run_until({&meter, &early}, [&] { return !early.received.empty(); });
        BOOST_TEST(!early.received[0].retained); // it was there

        Program late(world.loop, settings(version));
        late.bus.subscribe(topic);
        world.run_until({&late}, [&] { return !late.received.empty(); });
        BOOST_TEST(late.received[0].retained);
        BOOST_TEST(late.received[0].payload == "kept");
    }
}

BOOST_AUTO_TEST_CASE(a_topic_of_a_live_connection_is_subscribed_at_once)
{
    World world;
    const auto topic = unique("topic");
    Program program(world.loop, settings());
    world.connect({&program});
    program.bus.subscribe(topic);
    program.bus.subscribe(topic);
    BOOST_TEST(program.bus.publish(topic, "hello", Retain::no));
    world.run_until({&program}, [&] { return !program.received.empty(); });
    world.run_for({&program}, milliseconds(200));
    BOOST_TEST(program.received.size() == 1U); // the topic twice is one subscription
    BOOST_TEST(program.connects == 1);
}

BOOST_AUTO_TEST_CASE(an_unsubscribed_topic_is_heard_no_more_and_a_new_subscription_brings_what_is_kept)
{
    for (const auto version : both_versions) {
        World world;
        const auto topic = unique("topic");
        const auto other = unique("other");
        Program program(world.loop, settings(version));
        program.bus.subscribe(topic);
        program.bus.subscribe(other);
        world.connect({&program});
        BOOST_TEST(program.bus.publish(topic, "kept", Retain::yes));
        world.run_until({&program}, [&] { return program.received.size() == 1; });
        program.bus.unsubscribe(topic);
        program.bus.subscribe(topic);
        world.run_until({&program}, [&] { return program.received.size() == 2; });
        BOOST_TEST(program.received[1].retained);
        BOOST_TEST(program.received[1].payload == "kept");

        program.bus.unsubscribe(topic);
        BOOST_TEST(program.bus.publish(topic, "unheard", Retain::no));
        BOOST_TEST(program.bus.publish(other, "heard", Retain::no));
        world.run_until({&program}, [&] { return program.received.size() == 3; });
        BOOST_TEST(program.received[2].payload == "heard");
        BOOST_TEST(program.connects == 1);
        BOOST_TEST(program.reasons.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_name_is_looked_up_and_its_other_addresses_are_tried)
{
    World world; // the broker is on 127.0.0.1 only, and localhost may be ::1 first
    Program program(world.loop, settings(MqttVersion::v5, "localhost"));
    world.connect({&program});
    BOOST_TEST(program.reasons.empty());
}

BOOST_AUTO_TEST_CASE(D6_a_broker_that_was_killed_and_comes_back_needs_no_restart_here)
{
    for (const auto version : both_versions) {
        World world;
        const auto topic = unique("topic");
        Program program(world.loop, settings(version));
        program.bus.subscribe(topic);
        world.connect({&program});

        broker("kill");
        world.run_until({&program}, [&] { return !program.connected; });
        BOOST_TEST(program.reasons[0] == settings().url.text() + ": connection lost");
        BOOST_TEST(!program.bus.publish(topic, "nobody there", Retain::no));
        world.run_until({&program}, [&] { return program.reasons.size() >= 3; });
        BOOST_TEST(program.reasons[2] == settings().url.text() + refused);

        broker("start");
        world.connect({&program});
        BOOST_TEST(program.bus.publish(topic, "back", Retain::no)); // and the topic is subscribed again
        world.run_until({&program}, [&] { return !program.received.empty(); });
        BOOST_TEST(program.received[0].payload == "back");
    }
}

BOOST_AUTO_TEST_CASE(D6_a_broker_that_starts_later_is_found)
{
    broker("kill");
    World world;
    Program program(world.loop, settings());
    BOOST_TEST(!program.bus.publish("topic", "too early", Retain::no));
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    broker("start");
    world.connect({&program});
}

BOOST_AUTO_TEST_CASE(a_refused_port_is_named)
{
    const LoopbackPort port; // nobody listens
    World world;
    Program program(world.loop, port.settings());
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    BOOST_TEST(program.reasons[0] == port.settings().url.text() + refused);
}

BOOST_AUTO_TEST_CASE(a_name_that_nobody_has_is_named)
{
    World world;
    Program program(world.loop, settings(MqttVersion::v5, "no-such-host.invalid"));
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    const bool named = contains(program.reasons[0], "the name no-such-host.invalid ") ||
                       contains(program.reasons[0], "who no-such-host.invalid is"); // no DNS at all
    BOOST_TEST(named, program.reasons[0]);
}

BOOST_AUTO_TEST_CASE(I2_a_giant_message_is_dropped)
{
    World world;
    const auto topic = unique("topic");
    Program program(world.loop, settings());
    program.bus.subscribe(topic);
    world.connect({&program});
    for (const std::size_t size : {4097U, 60'000U, 100'000U, 4096U})
        BOOST_TEST(program.bus.publish(topic, std::string(size, 'x'), Retain::no));
    world.run_until({&program}, [&] { return !program.received.empty(); });
    BOOST_TEST(program.received[0].payload.size() == 4096U);
    BOOST_TEST(program.connects == 1);
}

BOOST_AUTO_TEST_CASE(I2_a_program_that_does_not_take_keeps_the_first_10000_messages)
{
    World world;
    const auto topic = unique("topic");
    Program idle(world.loop, settings());
    Program busy(world.loop, settings());
    idle.bus.subscribe(topic);
    busy.bus.subscribe(topic);
    world.connect({&idle, &busy});

    constexpr std::size_t sent = 12'000;
    std::size_t next = 0;
    world.run_until({&busy}, [&] {
        while (next < sent && busy.bus.publish(topic, std::to_string(next), Retain::no))
            ++next;
        return busy.received.size() == sent;
    });
    std::this_thread::sleep_for(milliseconds(500)); // the idle one's share of the last messages is on its way
    const auto warning = stderr_of([&] { idle.bus.tick(steady_clock::now()); });
    BOOST_TEST(contains(warning, "dropped 2000 messages because 10000 wait already"), warning);
    idle.take();
    BOOST_REQUIRE(idle.received.size() == 10'000U);
    for (std::size_t at = 0; at < idle.received.size(); ++at)
        BOOST_REQUIRE(idle.received[at].payload == std::to_string(at));

    BOOST_TEST(busy.bus.publish(topic, "room again", Retain::no));
    world.run_until({&idle, &busy}, [&] { return idle.received.size() == 10'001; });
    BOOST_TEST(idle.received.back().payload == "room again");
}

BOOST_AUTO_TEST_CASE(outstanding_publishes_are_bounded_and_room_wakes)
{
    for (const auto version : both_versions) {
        World world;
        Program program(world.loop, settings(version));
        world.connect({&program});
        broker("freeze");
        int sent = 0;
        while (sent < 1000 && program.bus.publish("topic", "x", Retain::no))
            ++sent;
        BOOST_TEST(sent ==
                   (version == MqttVersion::v5 ? 20 : 256)); // a version 5 broker says how many it takes
        broker("thaw");
        world.run_until({&program}, [&] { return program.bus.publish("topic", "x", Retain::no); });
        BOOST_TEST(program.reasons.empty());
    }
}

BOOST_AUTO_TEST_CASE(closing_under_load_sends_what_was_taken_and_says_goodbye)
{
    for (const auto version : both_versions) {
        World world;
        const auto topic = unique("topic");
        Program meter(world.loop, settings(version));
        Program server(world.loop, settings(version));
        server.bus.subscribe(topic);
        world.connect({&meter, &server});
        std::size_t sent = 0;
        while (sent < 100 && meter.bus.publish(topic, std::to_string(sent), Retain::no))
            ++sent;
        BOOST_TEST(sent >= 20U);
        meter.bus.close();
        meter.bus.close();
        BOOST_TEST(!meter.bus.publish(topic, "too late", Retain::no));
        BOOST_TEST((meter.bus.tick(steady_clock::now()) == steady_clock::time_point::max()));
        world.run_until({&server}, [&] { return server.received.size() == sent; });
        while (!contains(content_of(from_environment("BROKER_LOG")), meter.id + " disconnected"))
            world.run_for({&server}, milliseconds(20)); // not "closed its connection"
    }
}

BOOST_AUTO_TEST_CASE(closing_does_not_wait_for_a_broker_that_hangs)
{
    World world;
    Program program(world.loop, settings());
    world.connect({&program});
    broker("freeze");
    BOOST_TEST(program.bus.publish("topic", "x", Retain::no));
    program.bus.close(); // would hang here
    broker("thaw");
}

BOOST_AUTO_TEST_CASE(a_bus_can_go_at_any_moment)
{
    for (int delay = 0; delay < 30; ++delay) {
        World world;
        Program program(world.loop, settings());
        program.bus.subscribe(unique("topic"));
        world.run_for({&program}, milliseconds(delay));
    }
}

BOOST_AUTO_TEST_CASE(small_packets_are_sent_at_once)
{
    World world;
    Program program(world.loop, settings());
    world.connect({&program});
    const auto count = sockets_to_the_broker();
    BOOST_TEST(count.all == 1);
    BOOST_TEST(count.undelayed == 1);
}

BOOST_AUTO_TEST_CASE(B3_two_programs_with_one_client_id_do_not_chase_each_other)
{
    for (const auto version : both_versions) {
        World world;
        const auto id = unique("twin");
        Program one(world.loop, settings(version), id);
        Program other(world.loop, settings(version), id);
        world.run_for({&one, &other}, seconds(5));
        for (const auto* program : {&one, &other}) {
            BOOST_TEST(program->connects >= 1);
            BOOST_TEST(program->connects <= 6);
            BOOST_TEST(!program->reasons.empty());
        }
    }
}

// mosquitto 2.0.11 gives no reason to the one whose id was taken.
BOOST_AUTO_TEST_CASE(B3_who_is_thrown_out_again_and_again_is_told_of_its_client_id_once)
{
    World world;
    const auto id = unique("twin");
    Program one(world.loop, settings(), id);
    Program other(world.loop, settings(), id);
    world.run_until({&one, &other}, [&] { return one.contests == 1 && one.reasons.size() >= 5U; });
    for (const Program* program : {&one, &other}) {
        const auto tells = [&](const std::string& reason) {
            return contains(reason, "another program may use the client id " + id);
        };
        const auto times = std::count_if(program->reasons.begin(), program->reasons.end(), tells);
        BOOST_TEST(times <= 1);
        BOOST_TEST(times == program->contests);
    }
}

BOOST_AUTO_TEST_CASE(B3_a_broker_that_is_gone_is_no_reason_for_that)
{
    World world;
    Program program(world.loop, settings());
    world.connect({&program});
    broker("kill");
    world.run_until({&program}, [&] { return program.reasons.size() >= 4U; });
    broker("start");
    BOOST_TEST(program.contests == 0);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
