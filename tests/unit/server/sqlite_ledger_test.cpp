#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

#include <map>
#include <random>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

class InMemory {
protected:
    SqliteLedger ledger{":memory:", LedgerAccess::create};
};

// Every field other than its default.
Reading full_reading()
{
    Reading reading = sample(3, 17, 4711);
    reading.constant.imp_per_kwh = 3200;
    reading.start.value = 12'345'678;
    reading.quality = {1, 2, 0xFFFFFFFF};
    reading.events = 0x80000001;
    reading.power = Milliwatts{230'000};
    return reading;
}

BOOST_AUTO_TEST_SUITE(sqlite_ledger)

BOOST_FIXTURE_TEST_CASE(a_reading_comes_out_as_it_went_in, InMemory)
{
    const WallTime received = full_reading().measured_at + 90s;
    BOOST_TEST(is_accepted(append(ledger, full_reading(), received).outcome));
    Reading bare = sample(4, 1, largest_integer);
    bare.source = Source::simulated;
    bare.clock = Clock::unsynchronised;
    bare.measured_at = WallTime{};
    bare.uptime = Uptime::max();
    bare.start.value = largest_integer;
    bare.power = Milliwatts{0};
    BOOST_TEST(is_accepted(append(ledger, bare, received).outcome));

    const auto rows = all_readings(ledger);
    BOOST_TEST_REQUIRE(rows.size() == 2U);
    BOOST_TEST((rows[0].reading == full_reading()));
    BOOST_TEST((rows[0].received_at == received));
    BOOST_TEST((rows[0].standing == Standing::admitted));
    BOOST_TEST((rows[1].reading == bare));
    BOOST_TEST((rows[1].received_at == received));
}

// Readings of several meters and epochs, each with what its register ended at.
struct Household {
    std::vector<IncomingReading> readings;
    std::map<std::pair<MeterId, std::uint32_t>, Pulses> totals;
};

Household household(std::size_t count, std::mt19937_64& random)
{
    Household made;
    const std::vector<MeterId> meters = {kitchen, meter_id("garage"), meter_id("attic")};
    constexpr std::uint64_t an_epoch = 700;
    for (std::uint64_t number = 0; made.readings.size() < count; ++number) {
        const MeterId& meter = meters[number % meters.size()];
        const std::uint64_t place = number / meters.size();
        const auto epoch = static_cast<std::uint32_t>(1 + place / an_epoch);
        Pulses& total = made.totals[{meter, epoch}];
        total.value += random() % 100;
        made.readings.push_back({meter, sample(epoch, 1 + place % an_epoch, total.value)});
    }
    return made;
}

BOOST_FIXTURE_TEST_CASE(D3_each_reading_counts_once_in_any_order, InMemory)
{
    std::mt19937_64 random(20'240'229);
    const Household sent = household(10'000, random);
    std::vector<IncomingReading> arriving;
    for (const IncomingReading& reading : sent.readings)
        arriving.insert(arriving.end(), 1 + random() % 5, reading);
    std::shuffle(arriving.begin(), arriving.end(), random);

    std::size_t accepted = 0;
    std::size_t duplicates = 0;
    for (std::size_t at = 0; at < arriving.size();) {
        const std::size_t size = std::min<std::size_t>(1 + random() % 200, arriving.size() - at);
        for (const Appended& each : ledger.append(std::span(arriving).subspan(at, size), noon)) {
            accepted += is_accepted(each.outcome) ? 1U : 0U;
            duplicates += is_duplicate(each.outcome) ? 1U : 0U;
        }
        at += size;
    }
    BOOST_TEST(accepted == sent.readings.size());
    BOOST_TEST(accepted + duplicates == arriving.size());

    std::vector<IncomingReading> stored;
    std::map<std::pair<MeterId, std::uint32_t>, Pulses> totals;
    for (const std::string name : {"attic", "garage", "kitchen"}) {
        for (const LedgerReading& row : all_readings(ledger, meter_id(name))) {
            stored.push_back({meter_id(name), row.reading});
            totals[{meter_id(name), row.reading.epoch.value}] =
                row.reading.total; // ordered: the last one stays
        }
    }
    const auto order = [](const IncomingReading& a, const IncomingReading& b) {
        return std::tie(a.meter, a.reading) < std::tie(b.meter, b.reading);
    };
    auto expected = sent.readings;
    std::sort(expected.begin(), expected.end(), order);
    std::sort(stored.begin(), stored.end(), order);
    BOOST_TEST(std::equal(
        stored.begin(), stored.end(), expected.begin(), expected.end(),
        [](const auto& a, const auto& b) { return a.meter == b.meter && a.reading == b.reading; }));
    BOOST_TEST((totals == sent.totals));
}

BOOST_FIXTURE_TEST_CASE(readings_are_listed_by_epoch_and_number_from_a_time_on, InMemory)
{
    for (const auto& [epoch, sequence] : {std::pair{2U, 2U}, {1U, 3U}, {2U, 1U}, {1U, 1U}})
        append(ledger, sample(epoch, sequence, 10 * sequence));
    using Key = std::pair<std::uint32_t, std::uint64_t>;
    BOOST_TEST((keys(ledger) == std::vector<Key>{{1, 1}, {1, 3}, {2, 1}, {2, 2}}));

    const auto later = all_readings(ledger, kitchen, sample(1, 2, 0).measured_at);
    BOOST_TEST_REQUIRE(later.size() == 2U);
    BOOST_TEST(later[0].reading.sequence.value == 3U);
    BOOST_TEST(later[1].reading.epoch.value == 2U);
    BOOST_TEST(all_readings(ledger, meter_id("garage")).empty());
}

BOOST_FIXTURE_TEST_CASE(C6_without_a_set_clock_a_listing_since_goes_by_the_receipt, InMemory)
{
    Reading lost_clock = sample(1, 1, 10); // a Pi that woke up in 1970
    lost_clock.clock = Clock::unsynchronised;
    lost_clock.measured_at = WallTime{5s};
    append(ledger, lost_clock, noon);
    Reading early_clock = sample(1, 2, 20); // … or in the future
    early_clock.clock = Clock::unsynchronised;
    early_clock.measured_at = noon + 24h;
    append(ledger, early_clock, noon);
    BOOST_TEST(all_readings(ledger, kitchen, noon).size() == 2U);
    BOOST_TEST(all_readings(ledger, kitchen, noon + 1ms).empty());
}

BOOST_FIXTURE_TEST_CASE(an_older_epoch_joins_the_history_and_never_moves_the_current_total, InMemory)
{
    append(ledger, sample(2, 1, 100));
    append(ledger, sample(2, 2, 110));
    BOOST_TEST(is_accepted(append(ledger, sample(1, 900, 999)).outcome));
    const auto summary = ledger.summary(kitchen);
    BOOST_TEST_REQUIRE(summary.has_value());
    BOOST_TEST((summary->newest == sample(2, 2, 110)));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).total == Pulses{110}));
}

BOOST_FIXTURE_TEST_CASE(the_state_of_an_unknown_meter_is_nothing, InMemory)
{
    State nothing;
    nothing.constant.imp_per_kwh = 0;
    BOOST_TEST((ledger.state_for(kitchen, Source::measured) == nothing));
}

BOOST_FIXTURE_TEST_CASE(C7_simulated_and_measured_registers_are_told_apart, InMemory)
{
    append(ledger, simulated(sample(1, 1, 0)));
    append(ledger, simulated(sample(1, 2, 5000)));
    Reading measured = sample(2, 1, 40);
    measured.start.value = 77;
    append(ledger, measured);
    measured.sequence.value = 2;
    measured.total.value = 48;
    append(ledger, measured);

    const State simulation = ledger.state_for(kitchen, Source::simulated);
    BOOST_TEST((simulation == State{{}, Epoch{2}, Epoch{1}, Sequence{2}, Pulses{5000}, {1000}, {0}}));
    const State hardware = ledger.state_for(kitchen, Source::measured);
    BOOST_TEST((hardware == State{{}, Epoch{2}, Epoch{2}, Sequence{2}, Pulses{48}, {1000}, {77}}));

    const auto summary = ledger.summary(kitchen);
    BOOST_TEST((summary->newest.source == Source::measured));
    BOOST_TEST((summary->consumption == std::vector<ConsumedPulses>{{{1000}, {8}}}));

    BOOST_TEST(
        is_rejected(append(ledger, simulated(sample(2, 3, 50))).outcome, RefusalReason::constant_changed));
}

BOOST_FIXTURE_TEST_CASE(consumption_is_the_sum_within_epochs_by_meter_constant, InMemory)
{
    const auto at = [](std::uint32_t epoch, std::uint64_t sequence, std::uint64_t total, std::uint32_t imp) {
        Reading reading = sample(epoch, sequence, total);
        reading.constant.imp_per_kwh = imp;
        return reading;
    };
    // The register goes on in epoch 2; what happened between the epochs is nobody's consumption.
    for (const Reading& reading :
         {at(1, 1, 100, 1000), at(1, 2, 110, 1000), at(1, 3, 130, 1000), at(2, 1, 500, 1000),
          at(2, 9, 507, 1000), at(3, 1, 0, 3200), at(3, 2, 64, 3200)})
        BOOST_TEST(is_accepted(append(ledger, reading).outcome));
    const std::vector<ConsumedPulses> all = {{{1000}, {37}}, {{3200}, {64}}};
    BOOST_TEST((ledger.summary(kitchen)->consumption == all));

    BOOST_TEST(
        (used_until(ledger, kitchen, at(1, 2, 110, 1000)) == std::vector<ConsumedPulses>{{{1000}, {10}}}));
    BOOST_TEST(
        (used_until(ledger, kitchen, at(2, 1, 500, 1000)) == std::vector<ConsumedPulses>{{{1000}, {30}}}));
    BOOST_TEST(used_until(ledger, meter_id("garage"), sample(1, 1, 0)).empty());
}

BOOST_FIXTURE_TEST_CASE(C7_what_the_classic_wire_has_brought_goes_with_measured_energy_alone, InMemory)
{
    BOOST_TEST(
        (ledger.append_total(kitchen, Pulses{46}, noon, Delivery::live).outcome == ClassicOutcome::accepted));
    BOOST_TEST(
        (ledger.append_total(kitchen, Pulses{50}, noon, Delivery::live).outcome == ClassicOutcome::accepted));
    const auto used = [&] { return ledger.summary(kitchen)->consumption; };
    BOOST_TEST((used() == std::vector<ConsumedPulses>{{{1000}, {50}}}));
    BOOST_TEST(is_accepted(append(ledger, simulated(sample(2, 1, 0))).outcome)); // moved over, tried out
    BOOST_TEST(is_accepted(append(ledger, simulated(sample(2, 2, 7))).outcome));
    BOOST_TEST((used() == std::vector<ConsumedPulses>{{{1000}, {7}}}));
    BOOST_TEST(is_accepted(append(ledger, sample(3, 1, 0)).outcome));
    BOOST_TEST((used() == std::vector<ConsumedPulses>{{{1000}, {50}}}));
    BOOST_TEST(is_accepted(append(ledger, sample(3, 2, 3)).outcome));
    BOOST_TEST((used() == std::vector<ConsumedPulses>{{{1000}, {53}}}));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).highest_epoch == Epoch{3}));
}

BOOST_FIXTURE_TEST_CASE(a_sum_beyond_63_bits_is_kept_in_parts, InMemory)
{
    for (std::uint32_t epoch = 1; epoch <= 3; ++epoch) {
        append(ledger, simulated(sample(epoch, 1, 0)));
        append(ledger, simulated(sample(epoch, 2, largest_integer)));
    }
    const ConsumedPulses most{{1000}, {largest_integer}};
    BOOST_TEST((ledger.summary(kitchen)->consumption == std::vector<ConsumedPulses>{most, most, most}));
}

BOOST_FIXTURE_TEST_CASE(the_interval_is_that_of_the_last_readings_of_one_boot, InMemory)
{
    append(ledger, sample(1, 1, 0));
    append(ledger, sample(1, 2, 0));
    BOOST_TEST(!ledger.summary(kitchen)->interval.has_value()); // 2 follows 1 at once
    append(ledger, sample(1, 5, 0));                            // some are still on their way
    BOOST_TEST((ledger.summary(kitchen)->interval == sending_interval));
    Reading rebooted = sample(1, 6, 0);
    rebooted.boot = boot_id(9);
    rebooted.uptime = 20s;
    append(ledger, rebooted);
    BOOST_TEST((ledger.summary(kitchen)->interval == sending_interval));
}

BOOST_FIXTURE_TEST_CASE(I3_a_fall_or_a_jump_is_refused_held_and_visible, InMemory)
{
    append(ledger, sample(1, 1, 0));
    append(ledger, sample(1, 5, 100), noon);
    const auto before = ledger.summary(kitchen);

    const Appended fall = append(ledger, sample(1, 6, 99), noon + 1s);
    BOOST_TEST(is_rejected(fall.outcome, RefusalReason::total_fell));
    BOOST_TEST((fall.notice == Notice::first_time));
    BOOST_TEST(is_rejected(append(ledger, sample(1, 7, 1'000'000), noon + 2s).outcome,
                           RefusalReason::implausible_rate));
    BOOST_TEST(
        is_rejected(append(ledger, sample(1, 3, 101), noon + 3s).outcome, RefusalReason::total_jumped));

    const auto after = ledger.summary(kitchen);
    BOOST_TEST((after->newest == before->newest));
    BOOST_TEST((after->consumption == before->consumption));
    BOOST_TEST(after->refused == 3U);
    BOOST_TEST(after->held == 3U);
    BOOST_TEST(all_readings(ledger).size() == 2U);
    const auto held = ledger.held();
    BOOST_TEST_REQUIRE(held.size() == 3U);
    BOOST_TEST((held[1].reading == sample(1, 6, 99)));
    BOOST_TEST((held[1].reason == RefusalReason::total_fell));
    BOOST_TEST((held[1].first_seen == noon + 1s));
    BOOST_TEST(held[1].repeats == 0U);
    BOOST_TEST(ledger.held(meter_id("garage")).empty());
    BOOST_TEST(count_events(ledger, EventKind::refused) == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_refusal_that_is_repeated_makes_no_event_and_counts_once_a_minute, InMemory)
{
    append(ledger, sample(1, 5, 100));
    append(ledger, sample(1, 6, 99), noon);
    for (int second = 1; second <= 130; ++second)
        BOOST_TEST((append(ledger, sample(1, 6, 99), noon + std::chrono::seconds(second)).notice ==
                    Notice::repeated));
    const auto held = ledger.held(kitchen);
    BOOST_TEST_REQUIRE(held.size() == 1U);
    BOOST_TEST(held[0].repeats == 2U);
    BOOST_TEST((held[0].last_seen == noon + 120s));
    BOOST_TEST(ledger.summary(kitchen)->refused == 1U);
    BOOST_TEST(count_events(ledger, EventKind::refused) == 1U);
}

BOOST_FIXTURE_TEST_CASE(P6_a_conflict_is_recorded_and_changes_nothing, InMemory)
{
    append(ledger, sample(1, 1, 0));
    append(ledger, sample(1, 2, 10));
    const Appended clone = append(ledger, sample(1, 2, 12));
    BOOST_TEST(is_conflict(clone.outcome));
    BOOST_TEST((clone.notice == Notice::first_time));
    BOOST_TEST((append(ledger, sample(1, 2, 12)).notice == Notice::repeated));
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 2, 10)));
    BOOST_TEST(count_events(ledger, EventKind::conflict) == 1U);
    BOOST_TEST_REQUIRE(ledger.held().size() == 1U);
    BOOST_TEST((ledger.held()[0].reason == RefusalReason::conflict));
    BOOST_TEST(is_duplicate(append(ledger, sample(1, 2, 10)).outcome));
}

BOOST_FIXTURE_TEST_CASE(a_refused_reading_that_fits_once_its_neighbours_came_is_settled, InMemory)
{
    append(ledger, sample(1, 1, 0));
    append(ledger, sample(1, 2, 0));
    // A crafted reading in between makes the honest one look like a fall, until the honest one's rate fits.
    Reading jump = sample(1, 4, 200);
    BOOST_TEST(is_accepted(append(ledger, jump).outcome));
    Reading early = sample(1, 5, 330);
    BOOST_TEST(is_rejected(append(ledger, early).outcome, RefusalReason::implausible_rate));
    IncomingReading patient{kitchen, early, 86}; // the operator raised max-kw
    BOOST_TEST(is_accepted(ledger.append(std::span(&patient, 1), noon).at(0).outcome));
    BOOST_TEST(ledger.held().empty());
    BOOST_TEST(count_events(ledger, EventKind::held_resolved) == 1U);
    BOOST_TEST(ledger.summary(kitchen)->refused == 1U);
}

BOOST_FIXTURE_TEST_CASE(another_reading_that_takes_the_number_of_a_held_one_makes_that_a_conflict, InMemory)
{
    append(ledger, sample(1, 5, 100));
    append(ledger, sample(1, 6, 99));
    BOOST_TEST(is_accepted(append(ledger, sample(1, 6, 101)).outcome));
    BOOST_TEST_REQUIRE(ledger.held().size() == 1U);
    BOOST_TEST((ledger.held()[0].reason == RefusalReason::conflict));
    BOOST_TEST((ledger.held()[0].reading == sample(1, 6, 99)));
    BOOST_TEST(count_events(ledger, EventKind::conflict) == 1U);
    BOOST_TEST((ledger.accept(held_key(1, 6), noon).error() == HeldError::key_taken));
}

BOOST_FIXTURE_TEST_CASE(held_readings_are_bounded, InMemory)
{
    append(ledger, sample(1, 1, 1'000'000));
    std::vector<IncomingReading> flood;
    for (std::uint64_t number = 0; number < SqliteLedger::most_held_per_meter + 100; ++number)
        flood.push_back({kitchen, sample(1, 2 + number, 5)});
    const auto outcomes = ledger.append(flood, noon);
    BOOST_TEST(std::all_of(outcomes.begin(), outcomes.end(), [](const Appended& each) {
        return is_rejected(each.outcome, RefusalReason::total_fell);
    }));
    BOOST_TEST(ledger.summary(kitchen)->held == SqliteLedger::most_held_per_meter);
    BOOST_TEST(count_events(ledger, EventKind::refused) == SqliteLedger::most_held_per_meter);
    BOOST_TEST(count_events(ledger, EventKind::held_full) == 1U);

    // One that is settled makes room for one.
    BOOST_TEST(ledger.discard(held_key(1, 2), noon).has_value());
    BOOST_TEST((append(ledger, flood.back().reading).notice == Notice::first_time));
    BOOST_TEST(ledger.summary(kitchen)->held == SqliteLedger::most_held_per_meter);
}

BOOST_FIXTURE_TEST_CASE(epochs_and_alarms_are_events_newest_first, InMemory)
{
    append(ledger, sample(4, 1, 48), noon);
    ledger.record({noon + 1s, EventKind::bad_tokens, kitchen, "3 of them"});
    ledger.record({noon + 2s, EventKind::bad_tokens, std::nullopt, "of nobody"});
    const auto events = ledger.events(10);
    BOOST_TEST_REQUIRE(events.size() == 3U);
    BOOST_TEST(!events[0].meter.has_value());
    BOOST_TEST((events[1].meter == kitchen));
    BOOST_TEST(events[1].detail == "3 of them");
    BOOST_TEST((events[1].at == noon + 1s));
    BOOST_TEST((events[2].kind == EventKind::epoch_started));
    BOOST_TEST(events[2].detail == "epoch 4 reading 1 (total 48), 1000 imp/kWh, measured");
    BOOST_TEST(ledger.events(1).size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
