#include "server/classic_head_end.hpp"
#include "server/sqlite_ledger.hpp"
#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <stdexcept>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

using SteadyTime = ClassicHeadEnd::SteadyTime;

crypto::FernetKey key_of(std::uint8_t number)
{
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(number);
    return crypto::FernetKey(bytes);
}

std::string sealed(std::string_view plaintext, std::uint8_t key = 1)
{
    const std::vector<std::uint8_t> bytes(plaintext.begin(), plaintext.end());
    return crypto::Fernet(key_of(key)).seal(bytes, 1'700'000'000, crypto::random_iv());
}

// A disk that is full while `full` says so.
class FillingLedger : public SqliteLedger {
public:
    FillingLedger() : SqliteLedger(":memory:", LedgerAccess::create) {}
    ClassicAppended append_total(const MeterId& meter, Pulses total, WallTime received_at,
                                 Delivery delivery) override
    {
        if (full)
            throw std::runtime_error("ledger.sqlite: the disk is full");
        return SqliteLedger::append_total(meter, total, received_at, delivery);
    }
    bool full = false;
};

struct World {
    FillingLedger ledger;
    ClassicHeadEnd head_end{ledger};
    SteadyTime now{1h};
    std::vector<Alarm> alarms{};
    std::size_t admitted = 0;

    World()
    {
        add();
        head_end.connected(now);
    }
    void add() { head_end.add_meter(kitchen, {key_of(1), {}}, now); }

    // What was said downward, in order.
    std::vector<std::string> arrive(const std::string& token, bool retained = false)
    {
        const Arrival arrival{"UNITS1221", token, 1, retained};
        return take(head_end.handle(std::span(&arrival, 1), now, wall()));
    }
    std::vector<std::string> total(std::uint64_t number, bool retained = false)
    {
        return arrive(sealed(std::to_string(number)), retained);
    }
    std::vector<std::string> after(std::chrono::milliseconds time)
    {
        now += time;
        return take(head_end.handle({}, now, wall()));
    }
    [[nodiscard]] WallTime wall() const
    {
        return noon + std::chrono::floor<std::chrono::milliseconds>(now - SteadyTime{1h});
    }

private:
    std::vector<std::string> take(const HeadEndResult& result)
    {
        alarms.insert(alarms.end(), result.alarms.begin(), result.alarms.end());
        admitted += result.admitted.size();
        std::vector<std::string> said;
        for (const Outgoing& outgoing : result.outgoing) {
            BOOST_TEST(outgoing.topic == "UNITS1222");
            const auto opened = crypto::Fernet(key_of(1)).open(outgoing.payload).value();
            said.emplace_back(opened.plaintext.begin(), opened.plaintext.end());
        }
        return said;
    }
};

using Said = std::vector<std::string>;

} // namespace

#define SAYS(what, ...) BOOST_TEST((what) == (Said{__VA_ARGS__}), boost::test_tools::per_element())

BOOST_AUTO_TEST_SUITE(classic_head_end)

BOOST_AUTO_TEST_CASE(D2_a_total_is_confirmed_once_it_is_in_the_ledger)
{
    World world;
    SAYS(world.total(48), "48");
    BOOST_TEST(world.ledger.total_of(kitchen).value == 48U);
    world.now += 4s;
    SAYS(world.total(53), "53");
    BOOST_TEST(world.admitted == 2U);
    BOOST_TEST(world.alarms.empty());
}

BOOST_AUTO_TEST_CASE(P4_nothing_is_confirmed_while_the_ledger_fails)
{
    World world;
    world.ledger.full = true;
    const std::string token = sealed("48");
    BOOST_CHECK_THROW((void)world.arrive(token), std::runtime_error);
    SAYS(world.after(0ms));
    world.ledger.full = false;
    SAYS(world.arrive(token), "48");
}

BOOST_AUTO_TEST_CASE(D3_an_equal_total_is_confirmed_and_adds_no_row)
{
    World world;
    SAYS(world.total(48), "48");
    world.now += 4s;
    SAYS(world.total(48), "48");
    BOOST_TEST(keys(world.ledger).size() == 2U); // where the epoch starts, and 48
    BOOST_TEST(world.admitted == 1U);
}

BOOST_AUTO_TEST_CASE(B2_the_same_token_again_is_answered_with_nothing)
{
    World world;
    const std::string token = sealed("48");
    SAYS(world.arrive(token), "48");
    for (int again = 0; again < 5; ++again) {
        world.now += 1500ms;
        SAYS(world.arrive(token));
    }
    BOOST_TEST(world.alarms.empty());
}

BOOST_AUTO_TEST_CASE(I3_a_fall_is_answered_with_nothing_and_is_an_event)
{
    World world;
    SAYS(world.total(48), "48");
    world.now += 4s;
    SAYS(world.total(47));
    SAYS(world.total(0));
    BOOST_TEST(world.ledger.total_of(kitchen).value == 48U);
    BOOST_REQUIRE(world.alarms.size() == 1U); // the second one within the hour is counted only
    BOOST_TEST(world.alarms.front().text.find("the total 47 is below the stored 48") != std::string::npos);
    BOOST_TEST(count_events(world.ledger, EventKind::refused) == 1U);
    world.now += 1h;
    SAYS(world.total(1), "48"); // not an answer: nothing was accepted for a while
    BOOST_TEST(world.alarms.back().text.starts_with("2 message(s) refused"));
}

BOOST_AUTO_TEST_CASE(I1_totals_of_another_kind_are_refused_with_a_line_and_an_event)
{
    for (const std::string_view wrong :
         {"-1", " 48", "0x30", "1e9", "9223372036854775808", "\xff\xfe", "007", ""}) {
        World world;
        SAYS(world.arrive(sealed(wrong)));
        BOOST_REQUIRE(world.alarms.size() == 1U);
        BOOST_TEST(count_events(world.ledger, EventKind::refused) == 1U);
        BOOST_TEST(world.ledger.total_of(kitchen).value == 0U);
    }
    World world;
    SAYS(world.arrive(sealed("48", 2)));
    SAYS(world.arrive("junk"));
    SAYS(world.arrive(std::string(100'000, 'A')));
    SAYS(world.arrive("")); // clears what was retained
    BOOST_REQUIRE(world.alarms.size() == 1U);
    BOOST_TEST(count_events(world.ledger, EventKind::bad_tokens) == 1U);
}

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

// Our server in the place of another, which had just confirmed what the broker keeps.
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

// It was confirmed before the server's restart, sleeps, sends, and only then finds that it was spoken to once more.
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

// A meter that sends once for each confirmation, after its own random pause and as many at a time as it likes; messages
// are doubled both ways for a while.
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

// Ours: ten seconds by default.
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

// Equal totals make no row, and what the broker has kept says nothing of the meter.
BOOST_AUTO_TEST_CASE(a_meter_is_fresh_as_long_as_it_is_heard)
{
    World world;
    const auto is_fresh = [&world] {
        const auto summary = world.ledger.summary(kitchen).value();
        return !is_stale(summary.newest, summary.received_at, summary.delivery, summary.interval,
                         world.wall());
    };
    (void)world.total(48, true);
    BOOST_TEST(!is_fresh());
    for (int quiet = 0; quiet < 100; ++quiet) {
        world.now += 2500ms;
        (void)world.total(48);
        BOOST_TEST(is_fresh());
    }
    BOOST_TEST(keys(world.ledger).size() == 2U);
    for (std::uint64_t hour = 0; hour < 3; ++hour) { // it pauses longer now
        world.now += 1h;
        (void)world.total(50 + hour);
    }
    world.now += 2h;
    BOOST_TEST(is_fresh());
    (void)world.total(52, true);
    world.now += 2h;
    BOOST_TEST(!is_fresh());
}

BOOST_AUTO_TEST_CASE(the_ledger_numbers_totals_and_cost_is_the_total_times_the_price)
{
    World world;
    (void)world.total(48);
    (void)world.total(48);
    (void)world.total(60);
    const auto rows = all_readings(world.ledger);
    BOOST_REQUIRE(rows.size() == 3U);
    for (std::size_t place = 0; place < rows.size(); ++place) {
        BOOST_TEST(rows[place].reading.epoch.value == 1U);
        BOOST_TEST(rows[place].reading.sequence.value == place + 1);
        BOOST_TEST((rows[place].reading.source == Source::unstated));
        BOOST_TEST((rows[place].reading.clock == Clock::unsynchronised));
    }
    BOOST_TEST(rows[0].reading.total.value == 0U);
    BOOST_TEST(rows[2].reading.total.value == 60U);
    const auto summary = world.ledger.summary(kitchen);
    BOOST_REQUIRE(summary.has_value());
    BOOST_REQUIRE(summary->consumption.size() == 1U);
    BOOST_TEST(summary->consumption.front().pulses.value == 60U);
    BOOST_TEST(summary->consumption.front().constant.imp_per_kwh == 1000U);
}

BOOST_AUTO_TEST_CASE(no_rate_is_too_fast_here)
{
    World world;
    (void)world.total(1);
    (void)world.total(largest_integer);
    BOOST_TEST(world.ledger.total_of(kitchen).value == largest_integer);
    BOOST_TEST(world.alarms.empty());
}

BOOST_AUTO_TEST_CASE(a_meter_that_was_on_the_sealed_wire_gets_an_epoch_of_its_own)
{
    World world;
    (void)append(world.ledger, sample(1, 1, 1'000));
    (void)world.total(48);
    const auto rows = all_readings(world.ledger);
    BOOST_REQUIRE(rows.size() == 3U);
    BOOST_TEST(rows[2].reading.epoch.value == 2U);
    BOOST_TEST(world.ledger.total_of(kitchen).value == 48U);
}

BOOST_AUTO_TEST_SUITE_END()
