// Uplink: events in, messages out; no broker, no disk, no real time.
#include "meter-pi/uplink.hpp"

#include <boost/test/unit_test.hpp>

#include <set>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

constexpr Nonce our_nonce{1, 2, 3};
const SteadyTime start = SteadyTime{} + 1000h;

Reading reading(std::uint64_t sequence, std::uint32_t epoch = 1)
{
    return {.epoch = Epoch{epoch}, .sequence = Sequence{sequence}, .total = Pulses{sequence * 10}};
}

std::vector<Reading> readings(std::uint64_t first, std::uint64_t last)
{
    std::vector<Reading> rows;
    for (std::uint64_t sequence = first; sequence <= last; ++sequence)
        rows.push_back(reading(sequence));
    return rows;
}

Confirmation confirmation(std::uint64_t first, std::uint64_t last, std::uint32_t epoch = 1)
{
    return {Epoch{epoch}, Sequence{first}, Sequence{last}};
}

// What is in the messages, as numbers; a Hello is 0.
std::vector<std::uint64_t> sequences(const std::vector<Uplink::Send>& messages)
{
    std::vector<std::uint64_t> numbers;
    for (const auto& send : messages) {
        const auto* sent = std::get_if<Reading>(&send.message);
        numbers.push_back(sent == nullptr ? 0 : sent->sequence.value);
    }
    return numbers;
}

using Numbers = std::vector<std::uint64_t>;

struct Greeted {
    Uplink uplink{Hello{.nonce = our_nonce}, 42};

    explicit Greeted(std::span<const Reading> backlog = {})
    {
        uplink.connected(start);
        (void)uplink.take_messages();
        BOOST_REQUIRE(uplink.received(State{.nonce = our_nonce}, start).has_value());
        uplink.offer_held({}, start);
        if (uplink.room() > 0)
            uplink.offer(backlog.first(std::min(backlog.size(), uplink.room())), start);
    }
    Numbers sent() { return sequences(uplink.take_messages()); }
};

} // namespace

BOOST_AUTO_TEST_SUITE(uplink)

BOOST_AUTO_TEST_CASE(sends_its_hello_until_it_is_answered_and_nothing_else)
{
    Uplink uplink(Hello{.nonce = our_nonce}, 42);
    uplink.tick(start);
    BOOST_TEST(uplink.take_messages().empty());
    uplink.connected(start);
    BOOST_TEST(sequences(uplink.take_messages()) == Numbers{0}, boost::test_tools::per_element());
    BOOST_TEST(uplink.room() == 0U);

    int hellos = 0;
    for (auto now = start; now < start + 5min; now += 1s) {
        uplink.tick(now);
        hellos += static_cast<int>(uplink.take_messages().size());
    }
    BOOST_TEST(hellos > 5);
    BOOST_TEST(hellos < 20); // it backs off

    BOOST_TEST(uplink.received(State{.nonce = our_nonce}, start + 5min).has_value());
    uplink.tick(start + 10min);
    BOOST_TEST(uplink.take_messages().empty());
}

BOOST_AUTO_TEST_CASE(B2_a_state_of_another_hello_or_a_second_one_is_not_taken)
{
    Uplink uplink(Hello{.nonce = our_nonce}, 42);
    uplink.connected(start);
    BOOST_TEST(!uplink.received(State{.nonce = Nonce{9}}, start).has_value());
    BOOST_TEST(uplink.received(State{.nonce = our_nonce}, start).has_value());
    BOOST_TEST(!uplink.received(State{.nonce = our_nonce}, start).has_value());
}

BOOST_AUTO_TEST_CASE(only_the_newest_reading_is_retained)
{
    const auto backlog = readings(1, 3);
    Greeted meter(backlog);
    for (const auto& send : meter.uplink.take_messages())
        BOOST_TEST(!send.newest);
    meter.uplink.stored(reading(4), start);
    const auto newest = meter.uplink.take_messages();
    BOOST_REQUIRE(newest.size() == 1U);
    BOOST_TEST(newest.front().newest);
    meter.uplink.tick(start + 6s); // all four again: resends are not retained
    const auto again = meter.uplink.take_messages();
    BOOST_TEST(again.size() == 4U);
    for (const auto& send : again)
        BOOST_TEST(!send.newest);
}

BOOST_AUTO_TEST_CASE(D1_readings_are_sent_again_until_confirmed)
{
    Greeted meter;
    meter.uplink.stored(reading(1), start);
    meter.uplink.stored(reading(2), start);
    BOOST_TEST(meter.sent() == (Numbers{1, 2}), boost::test_tools::per_element());
    (void)meter.uplink.received(confirmation(1, 1), start);
    meter.uplink.tick(start + 1s);
    BOOST_TEST(meter.sent().empty());
    meter.uplink.tick(start + 6s);
    BOOST_TEST(meter.sent() == Numbers{2}, boost::test_tools::per_element());
    (void)meter.uplink.received(confirmation(2, 2), start);
    meter.uplink.tick(start + 10min);
    BOOST_TEST(meter.sent().empty());
    BOOST_REQUIRE(meter.uplink.confirmed().size() == 1U); // 1…1 and 2…2 are one range
    BOOST_TEST((meter.uplink.confirmed().front() == confirmation(1, 2)));
    meter.uplink.settled();
    BOOST_TEST(meter.uplink.confirmed().empty());
}

BOOST_AUTO_TEST_CASE(D2_a_confirmation_forgets_exactly_its_range_and_epoch)
{
    Greeted meter;
    for (std::uint64_t sequence = 1; sequence <= 4; ++sequence)
        meter.uplink.stored(reading(sequence, 7), start);
    (void)meter.sent();
    (void)meter.uplink.received(confirmation(2, 3, 7), start);
    (void)meter.uplink.received(confirmation(1, 4, 6), start);
    meter.uplink.tick(start + 6s);
    BOOST_TEST(meter.sent() == (Numbers{1, 4}), boost::test_tools::per_element());
    BOOST_REQUIRE(meter.uplink.confirmed().size() == 2U);
}

// What a thinned backlog comes back as. Were they to wait for the next reading's commit, a month would take hours.
BOOST_AUTO_TEST_CASE(D5_many_single_confirmations_ask_for_a_commit_and_replayed_ones_do_not)
{
    std::vector<Reading> backlog;
    for (std::uint64_t place = 1; place <= 2'000; ++place)
        backlog.push_back(reading(2 * place));
    Greeted meter(backlog);
    std::size_t confirmed = 0;
    while (!meter.uplink.wants_commit() && confirmed < 1'000) {
        ++confirmed;
        (void)meter.uplink.received(confirmation(2 * confirmed, 2 * confirmed), start);
        const std::size_t offered = meter.uplink.after().sequence.value / 2;
        meter.uplink.offer(std::span(backlog).subspan(offered, meter.uplink.room()), start);
    }
    BOOST_TEST(confirmed == Uplink::most_confirmed / 2);
    BOOST_TEST(meter.uplink.confirmed().size() == confirmed);
    meter.uplink.settled();
    BOOST_TEST(!meter.uplink.wants_commit());

    for (std::uint64_t replayed = 1; replayed < 2 * confirmed; replayed += 2)
        (void)meter.uplink.received(confirmation(replayed, replayed, 9), start);
    BOOST_TEST(!meter.uplink.wants_commit());
}

BOOST_AUTO_TEST_CASE(D5_a_backlog_goes_out_in_order_behind_a_window_and_the_newest_past_it)
{
    const auto backlog = readings(1, 200);
    Greeted meter(backlog);
    Numbers seen = meter.sent();
    BOOST_TEST(seen.size() == SendWindow::first);
    BOOST_TEST(meter.uplink.room() == 0U);
    meter.uplink.stored(reading(201), start);
    BOOST_TEST(meter.sent() == Numbers{201}, boost::test_tools::per_element());

    for (std::uint64_t confirmed = 0; confirmed < 200;) {
        const std::uint64_t upto = seen.back();
        (void)meter.uplink.received(confirmation(confirmed + 1, upto), start);
        confirmed = upto;
        if (meter.uplink.room() == 0)
            continue;
        const auto next = meter.uplink.after().sequence.value + 1;
        const auto last = std::min<std::uint64_t>(next + meter.uplink.room() - 1, 201);
        meter.uplink.offer(readings(next, last), start);
        for (const auto sequence : meter.sent())
            seen.push_back(sequence);
    }
    BOOST_TEST(seen.size() == 200U); // 201 is out already and is only waited for
    BOOST_TEST(seen.back() == 200U);
    BOOST_TEST(std::is_sorted(seen.begin(), seen.end()));
    meter.uplink.tick(start + 6s);
    BOOST_TEST(meter.sent() == Numbers{201}, boost::test_tools::per_element());
}

// A meter whose outbox has no end, and a way that answers each round trip.
struct Backlog : Greeted {
    SteadyTime now = start;

    void feed()
    {
        while (uplink.room() > 0) {
            const auto next = uplink.after().sequence.value + 1;
            uplink.offer(readings(next, next + uplink.room() - 1), now);
        }
    }
    // What one round trip brings: all that is sent is confirmed but what `is_lost`.
    template <typename IsLost>
    std::size_t round_trip(IsLost is_lost)
    {
        uplink.tick(now);
        feed();
        const Numbers numbers = sent();
        now += 50ms;
        for (const auto number : numbers) {
            if (!is_lost(number))
                (void)uplink.received(confirmation(number, number), now);
        }
        uplink.settled();
        return numbers.size();
    }
    std::size_t round_trip()
    {
        return round_trip([](std::uint64_t) { return false; });
    }
    explicit Backlog() : Greeted(std::span<const Reading>{}) { reconnect(); }
    void reconnect()
    {
        uplink.disconnected();
        uplink.connected(now);
    }
};

BOOST_AUTO_TEST_CASE(D5_the_window_doubles_each_round_trip_while_all_goes_well)
{
    Backlog meter;
    std::size_t expected = SendWindow::first;
    for (int trip = 0; trip < 20; ++trip, expected = std::min(2 * expected, SendWindow::widest))
        BOOST_TEST(meter.round_trip() == expected);
}

BOOST_AUTO_TEST_CASE(D5_the_window_is_halved_at_a_loss_and_grows_slowly_from_there)
{
    Backlog meter;
    for (int trip = 0; trip < 10; ++trip)
        (void)meter.round_trip();
    BOOST_TEST(meter.round_trip() == SendWindow::widest);
    std::set<std::uint64_t> lost;
    (void)meter.round_trip([&](std::uint64_t number) { // of a queue that ran over, the last
        return number % 3 == 0 && lost.insert(number).second;
    });
    Numbers again;
    for (const SteadyTime end = meter.now + 1s; meter.now < end;) {
        (void)meter.round_trip([&](std::uint64_t number) {
            if (lost.contains(number))
                again.push_back(number);
            return false;
        });
    }
    BOOST_TEST(again.size() == lost.size()); // each once, and soon
    std::size_t now_out = meter.round_trip();
    BOOST_TEST(now_out >= SendWindow::widest / 2);
    BOOST_TEST(now_out < SendWindow::widest / 2 + 25);
    BOOST_TEST(meter.round_trip() == now_out + 1);
}

BOOST_AUTO_TEST_CASE(D5_who_is_not_answered_at_all_sends_little_and_a_new_connection_begins_small)
{
    Backlog meter;
    for (int trip = 0; trip < 10; ++trip)
        (void)meter.round_trip();
    std::size_t sent = 0;
    for (const SteadyTime end = meter.now + 1h; meter.now < end; meter.now += 50ms)
        sent += meter.round_trip([](std::uint64_t) { return true; });
    BOOST_TEST(sent < 2 * SendWindow::widest); // a few of them once a minute or so, the others not again
    meter.reconnect();
    BOOST_TEST(meter.round_trip() == SendWindow::first);
    BOOST_TEST(meter.round_trip() == 2 * SendWindow::first);
}

BOOST_AUTO_TEST_CASE(D5_few_readings_do_not_widen_what_was_never_tried)
{
    Greeted meter;
    for (std::uint64_t sequence = 1; sequence <= 1'000; ++sequence) {
        meter.uplink.stored(reading(sequence), start);
        (void)meter.uplink.received(confirmation(sequence, sequence), start);
        meter.uplink.settled();
    }
    meter.uplink.disconnected();
    meter.uplink.connected(start);
    BOOST_TEST(meter.uplink.room() == SendWindow::first);
}

// A server that was away while the broker was not: its first answer, to the newest reading, is a sign for the others.
BOOST_AUTO_TEST_CASE(D5_an_answer_to_the_newest_brings_the_backlog_at_once)
{
    const auto backlog = readings(1, 100);
    Greeted meter(backlog);
    for (auto now = start; now < start + 1h; now += 1s)
        meter.uplink.tick(now);
    (void)meter.sent();
    meter.uplink.stored(reading(101), start + 1h);
    (void)meter.sent();
    (void)meter.uplink.received(confirmation(101, 101), start + 1h);
    meter.uplink.tick(start + 1h);
    meter.uplink.tick(start + 1h + Uplink::overtaken_resend);
    BOOST_TEST(meter.sent() == (Numbers{1, 2, 3, 4}), boost::test_tools::per_element());
    (void)meter.uplink.received(confirmation(1, 4), start + 2h);
    BOOST_TEST((meter.uplink.after() == ReadingKey{Epoch{1}, Sequence{4}}));
    BOOST_TEST(meter.uplink.room() == 2 * SendWindow::narrowest);
}

BOOST_AUTO_TEST_CASE(D6_a_lost_connection_sends_again_what_was_on_its_way)
{
    Greeted meter;
    meter.uplink.stored(reading(1), start);
    meter.uplink.stored(reading(2), start);
    (void)meter.sent();
    (void)meter.uplink.received(confirmation(1, 1), start);
    meter.uplink.disconnected();
    meter.uplink.stored(reading(3), start + 10s);
    meter.uplink.tick(start + 1h);
    BOOST_TEST(meter.sent().empty());
    BOOST_TEST((meter.uplink.next_deadline() == SteadyTime::max()));
    meter.uplink.connected(start + 1h);
    BOOST_TEST((meter.uplink.after() == ReadingKey{}));
    meter.uplink.offer(readings(1, 3), start + 1h); // the disk has not forgotten the first one yet
    BOOST_TEST(meter.sent() == (Numbers{2, 3}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(I3_a_refused_reading_is_set_aside_and_sent_again_every_hour)
{
    Greeted meter;
    meter.uplink.stored(reading(1), start);
    (void)meter.sent();
    const Refused refusal{Epoch{1}, Sequence{1}, RefusalReason::implausible_rate};
    (void)meter.uplink.received(refusal, start);
    BOOST_TEST(meter.uplink.was_answered());
    (void)meter.uplink.received(refusal, start); // played again: remembered once
    BOOST_TEST(!meter.uplink.was_answered());
    BOOST_TEST(meter.uplink.refused().size() == 1U);
    meter.uplink.tick(start + 10min);
    BOOST_TEST(meter.sent().empty());
    BOOST_TEST(!meter.uplink.held_due(start + 10min));
    BOOST_TEST(meter.uplink.held_due(start + 61min));
    meter.uplink.offer_held(readings(1, 1), start + 61min);
    BOOST_TEST(meter.sent() == Numbers{1}, boost::test_tools::per_element());
    BOOST_TEST(!meter.uplink.held_due(start + 62min));
    (void)meter.uplink.received(refusal, start + 61min);
    BOOST_TEST(meter.uplink.was_answered()); // the same answer, but to what was just sent
    BOOST_TEST(!meter.uplink.settled_some());
    (void)meter.uplink.received(confirmation(1, 1), start + 62min);
    BOOST_TEST(meter.uplink.held_due(start + 63min)); // accepted: the next ones need not wait for their hour
}

BOOST_AUTO_TEST_CASE(I3_every_held_reading_has_its_turn_a_few_at_a_time)
{
    Greeted meter;
    const auto held = readings(1, 40);
    std::size_t sent = 0;
    auto now = start + 61min;
    for (int round = 0; round < 3; ++round) {
        BOOST_REQUIRE(meter.uplink.held_due(now));
        const std::size_t from = meter.uplink.held_after().sequence.value;
        BOOST_TEST(from == sent);
        const auto rows = std::span(held).subspan(from, std::min(Uplink::held_at_once, held.size() - from));
        meter.uplink.offer_held(rows, now);
        sent += meter.sent().size();
        now += 20s;
    }
    BOOST_TEST(sent == 40U);
    BOOST_TEST(!meter.uplink.held_due(now + 10min)); // all were sent: again in an hour, from the first on
    BOOST_TEST(meter.uplink.held_due(now + 61min));
    BOOST_TEST(meter.uplink.held_after().sequence.value == 0U);
}

BOOST_AUTO_TEST_CASE(B2_what_is_played_again_settles_nothing)
{
    Greeted meter;
    meter.uplink.stored(reading(1), start);
    meter.uplink.stored(reading(2), start + 10s);
    (void)meter.uplink.received(confirmation(1, 1), start);
    BOOST_TEST(meter.uplink.settled_some());
    (void)meter.uplink.received(confirmation(1, 1), start);
    BOOST_TEST(!meter.uplink.settled_some());
    const Refused refusal{Epoch{1}, Sequence{2}, RefusalReason::implausible_rate};
    (void)meter.uplink.received(refusal, start);
    BOOST_TEST(meter.uplink.settled_some());
    (void)meter.uplink.received(refusal, start);
    BOOST_TEST(!meter.uplink.settled_some());
}

BOOST_AUTO_TEST_SUITE_END()
