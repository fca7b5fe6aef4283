// The loop of server and meter on the classic wire: it starts, goes on, and never becomes two.
#include "tests/unit/server/classic_world.hpp"

#include <random>

using namespace pulsemeter;

BOOST_AUTO_TEST_SUITE(classic_loop)

BOOST_AUTO_TEST_CASE(D6_on_an_empty_broker_the_stored_total_starts_the_loop)
{
    World world;
    SAYS(world.after(1999ms));
    BOOST_TEST((world.head_end.next_deadline() == world.now + 1ms));
    SAYS(world.after(1ms), "0");
    SAYS(world.after(9999ms));
    SAYS(world.after(1ms), "0");
    SAYS(world.total(7)); // so soon it can be no answer, and another one may be to come
    SAYS(world.after(4999ms));
    SAYS(world.after(1ms), "7");
}

BOOST_AUTO_TEST_CASE(D6_the_retained_reading_is_waited_for_before_anything_is_said)
{
    World world;
    world.now += 1500ms;
    SAYS(world.total(48, true));
    SAYS(world.after(4999ms)); // nobody else has confirmed it, or the meter would have gone on
    SAYS(world.after(1ms), "48");
    SAYS(world.after(9999ms));
    SAYS(world.after(1ms), "48"); // nothing came of it: once more
}

BOOST_AUTO_TEST_CASE(D6_a_server_that_takes_over_begins_no_second_loop)
{
    World world;
    SAYS(world.total(15, true));
    world.now += 3s;
    SAYS(world.total(17)); // the other's confirmation
    SAYS(world.after(4999ms));
    SAYS(world.after(1ms), "17");
    for (std::uint64_t total = 20; total < 30; ++total) {
        world.now += 3s;
        SAYS(world.total(total), std::to_string(total));
    }
}

BOOST_AUTO_TEST_CASE(D6_what_comes_while_topics_are_still_subscribed_to_is_answered_once_all_are)
{
    World world;
    world.head_end.disconnected();
    SAYS(world.total(48));
    BOOST_TEST((world.head_end.next_deadline() == SteadyTime::max())); // and nothing turns meanwhile
    world.head_end.connected(world.now);
    SAYS(world.after(0ms), "48");
}

BOOST_AUTO_TEST_CASE(D6_a_retained_reading_that_was_known_starts_no_second_loop)
{
    World world;
    SAYS(world.total(48), "48");
    world.add(); // as after a restart: what was seen is forgotten, the ledger is not
    SAYS(world.total(48, true));
    world.now += 3s;
    SAYS(world.total(50), "50"); // the meter had been confirmed before, and goes on by itself
}

BOOST_AUTO_TEST_CASE(D6_a_restart_beside_a_meter_that_is_about_to_send_begins_no_second_loop)
{
    World world;
    SAYS(world.total(48), "48");
    world.add();
    world.head_end.connected(world.now);
    SAYS(world.after(2s), "48");
    world.now += 1500ms;
    SAYS(world.total(50)); // could be either's answer
    world.now += 3s;
    SAYS(world.total(53)); // the other's
    SAYS(world.after(4999ms));
    SAYS(world.after(1ms), "53");
    world.now += 3s;
    SAYS(world.total(60), "60"); // one loop from here on
}

BOOST_AUTO_TEST_CASE(D6_a_reconnect_waits_ten_seconds_after_the_last_reading)
{
    World world;
    SAYS(world.total(48), "48");
    world.now += 1s;
    world.head_end.disconnected();
    BOOST_TEST((world.head_end.next_deadline() == SteadyTime::max()));
    world.now += 1s;
    world.head_end.connected(world.now);
    SAYS(world.after(7999ms));
    SAYS(world.after(1ms), "48");
}

BOOST_AUTO_TEST_CASE(D6_a_meter_added_to_a_running_server_is_waited_for_too)
{
    World world;
    world.head_end.add_meter(meter_id("attic"), {key_of(1), {"A", "UNITS1222"}}, world.now + 1h);
    BOOST_TEST(world.after(1h).size() == 1U);
    BOOST_TEST(world.after(2s).size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_meter_with_a_shorter_pause_is_known_after_one_silence)
{
    World world;
    SAYS(world.total(1), "1");
    world.now += 300ms;
    SAYS(world.total(2));
    SAYS(world.after(5s), "2");
    for (std::uint64_t total = 3; total < 20; ++total) {
        world.now += 200ms;
        SAYS(world.total(total), std::to_string(total));
    }
    world.now += 100ms; // a second loop of it
    SAYS(world.total(20));
    world.now += 100ms;
    SAYS(world.total(21));
    SAYS(world.after(5s), "21"); // both have ended, one begins
    world.now += 4s;             // it pauses longer now
    SAYS(world.total(22), "22");
    world.now += 900ms;
    SAYS(world.total(23));
}

BOOST_AUTO_TEST_CASE(B2_loops_side_by_side_become_one)
{
    World world;
    SAYS(world.total(48), "48");
    world.now += 2s;
    Said said;
    const auto add = [&said](const Said& more) { said.insert(said.end(), more.begin(), more.end()); };
    for (std::uint64_t loop = 0; loop < 38; ++loop) {
        world.now += 20ms;
        add(world.total(49 + loop));
    }
    SAYS(said, "49");
    world.now += 2s;
    SAYS(world.total(90)); // the one that was confirmed
    SAYS(world.after(4999ms));
    SAYS(world.after(1ms), "90");
    BOOST_TEST(world.admitted == 40U); // each total is a row all the same
}

BOOST_AUTO_TEST_CASE(B2_now_and_then_a_silence_proves_that_there_is_one_loop)
{
    World world;
    for (unsigned total = 1; total < ClassicHeadEnd::proof_every; ++total) {
        SAYS(world.total(total), std::to_string(total));
        world.now += 3s;
    }
    SAYS(
        world.total(100)); // a meter that works one confirmation off after the other had a second one waiting
    world.now += 3s;
    SAYS(world.total(101));
    SAYS(world.after(5s), "101");
    world.now += 3s;
    SAYS(world.total(102), "102");
}

BOOST_AUTO_TEST_CASE(B2_a_connection_lost_in_that_silence_does_not_end_the_proof)
{
    World world;
    for (unsigned total = 1; total < ClassicHeadEnd::proof_every; ++total) {
        SAYS(world.total(total), std::to_string(total));
        world.now += 3s;
    }
    SAYS(world.total(100));
    world.head_end.disconnected();
    world.head_end.connected(world.now);
    world.now += 3s;
    SAYS(world.total(101));
    SAYS(world.after(5s), "101");
}

BOOST_AUTO_TEST_CASE(B2_doubles_never_make_the_loops_more)
{
    World world;
    std::mt19937 random(7); // NOLINT(cert-msc51-cpp): the same run each time
    std::multimap<SteadyTime, int> sends{{world.now, 0}};
    std::uint64_t total = 0;
    const auto run = [&](int confirmations, unsigned doubled_percent) {
        const SteadyTime begin = world.now;
        for (int heard = 0; heard < confirmations;) {
            world.now = std::min(sends.empty() ? SteadyTime::max() : sends.begin()->first,
                                 world.head_end.next_deadline());
            Said said = world.after(0ms);
            if (!sends.empty() && sends.begin()->first <= world.now) {
                sends.erase(sends.begin());
                total += random() % 10;
                const std::string token = sealed(std::to_string(total));
                for (int copies = random() % 100 < doubled_percent ? 2 : 1; copies > 0; --copies) {
                    const Said more = world.arrive(token);
                    said.insert(said.end(), more.begin(), more.end());
                }
            }
            for (std::size_t each = 0; each < said.size(); ++each, ++heard) {
                for (int copies = random() % 100 < doubled_percent ? 2 : 1; copies > 0; --copies)
                    sends.emplace(world.now + 2s + std::chrono::milliseconds(random() % 2000), 0);
            }
        }
        return std::chrono::duration<double>(world.now - begin).count() / confirmations;
    };
    BOOST_TEST(run(1000, 1) > 2.5); // seconds a confirmation: three on average is the pace of one loop
    (void)run(20, 0);
    BOOST_TEST(run(1000, 0) > 2.8);
    BOOST_TEST(world.alarms.empty());
}

BOOST_AUTO_TEST_CASE(B2_a_pause_longer_than_the_silence_proves_it_too)
{
    World world;
    for (unsigned total = 1; total < 3 * ClassicHeadEnd::proof_every; ++total) {
        SAYS(world.total(total), std::to_string(total));
        world.now += total % 30 == 0 ? 5s : 3s; // once in a while the loop rests by itself
    }
}

BOOST_AUTO_TEST_CASE(a_meter_that_pauses_longer_is_not_spoken_to_before_its_time)
{
    World world;
    SAYS(world.total(1), "1");
    SAYS(world.after(10s), "1"); // not known yet
    world.now += 5ms;
    SAYS(world.total(2));
    SAYS(world.after(5s), "2");
    for (std::uint64_t total = 3; total < 100; ++total) {
        SAYS(world.after(10s)); // nothing is repeated
        world.now += 5ms;
        SAYS(world.total(total), std::to_string(total)); // and nothing is withheld
    }
    SAYS(world.after(15'004ms));
    SAYS(world.after(1ms), "99"); // it has fallen silent
    SAYS(world.after(10s), "99");
    world.now += 1h;
    SAYS(world.after(0s), "99");
    world.now += 1s;
    SAYS(world.total(100));
    SAYS(world.after(5s), "100"); // an hour was no pause
    SAYS(world.after(15'004ms));
    SAYS(world.after(1ms), "100");
}

BOOST_AUTO_TEST_CASE(a_pause_of_an_hour_is_known_when_it_comes_twice)
{
    World world;
    std::uint64_t total = 0;
    for (; total < 2; ++total) {
        SAYS(world.total(total), std::to_string(total));
        world.now += 1h;
    }
    for (; total < 100; ++total) {
        SAYS(world.total(total), std::to_string(total));
        SAYS(world.after(1h));
    }
    SAYS(world.after(5s), "99"); // it has fallen silent
}

BOOST_AUTO_TEST_SUITE_END()
