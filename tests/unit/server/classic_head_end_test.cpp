// What the server makes of the totals of the classic wire; of the loop of the two programs: classic_loop_test.cpp.
#include "tests/unit/server/classic_world.hpp"

using namespace pulsemeter;

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

// Our server in the place of another, which had just confirmed what the broker keeps.
// It was confirmed before the server's restart, sleeps, sends, and only then finds that it was spoken to once more.
// A meter that sends once for each confirmation, after its own random pause and as many at a time as it likes; messages
// are doubled both ways for a while.
// Ours: ten seconds by default.
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

BOOST_FIXTURE_TEST_CASE(C7_a_meter_that_moves_over_and_back_is_billed_once, World)
{
    const auto add_total = [this](std::uint64_t total) {
        return ledger.append_total(kitchen, Pulses{total}, noon, Delivery::live).outcome;
    };
    const auto used = [this] { return ledger.summary(kitchen)->consumption.at(0).pulses.value; };
    BOOST_TEST((add_total(5000) == ClassicOutcome::accepted));
    append(ledger, sample(2, 1, 0)); // the sealed wire
    append(ledger, sample(2, 2, 3));
    BOOST_TEST(used() == 5003U);
    BOOST_TEST(ledger.total_of(kitchen).value == 5000U);       // what it is answered with until it speaks
    BOOST_TEST((add_total(4999) == ClassicOutcome::fell));     // as if it had never been away
    BOOST_TEST((add_total(5000) == ClassicOutcome::accepted)); // what the broker has kept
    BOOST_TEST(used() == 5003U);
    BOOST_TEST((add_total(5000) == ClassicOutcome::equal));
    BOOST_TEST((add_total(5003) == ClassicOutcome::accepted));
    BOOST_TEST(used() == 5006U);
    BOOST_TEST((ledger.summary(kitchen)->newest.epoch == Epoch{3}));
    append(ledger, sample(4, 1, 0)); // and once more
    append(ledger, sample(4, 2, 1));
    BOOST_TEST((add_total(5010) == ClassicOutcome::accepted));
    BOOST_TEST(used() == 5014U);
    BOOST_TEST(ledger.total_of(kitchen).value == 5010U);
    BOOST_TEST(ledger.verify(std::nullopt).fault.value_or("") == "");
}

BOOST_AUTO_TEST_SUITE_END()
