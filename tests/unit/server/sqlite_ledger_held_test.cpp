#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

class WithHeld {
protected:
    WithHeld()
    {
        append(ledger, sample(1, 1, 0));
        append(ledger, sample(1, 2, 100));
    }
    SqliteLedger ledger{":memory:", LedgerAccess::create};
};

BOOST_AUTO_TEST_SUITE(sqlite_ledger_held)

BOOST_FIXTURE_TEST_CASE(I3_an_accepted_jump_is_energy_and_the_baseline_for_what_follows, WithHeld)
{
    const Reading jump = sample(1, 3, 50'000);
    append(ledger, jump, noon);
    BOOST_TEST(is_rejected(append(ledger, sample(1, 4, 50'010)).outcome, RefusalReason::implausible_rate));

    BOOST_TEST(ledger.accept(held_key(1, 3), noon + 1h).has_value());
    BOOST_TEST(is_duplicate(append(ledger, jump).outcome));
    BOOST_TEST(is_accepted(append(ledger, sample(1, 4, 50'010)).outcome));
    BOOST_TEST(is_rejected(append(ledger, sample(1, 5, 200)).outcome, RefusalReason::total_fell));

    const auto summary = ledger.summary(kitchen);
    BOOST_TEST((summary->consumption == std::vector<ConsumedPulses>{{{1000}, {50'010}}}));
    BOOST_TEST(summary->held == 1U);
    BOOST_TEST(summary->refused == 3U);
    const auto rows = all_readings(ledger);
    BOOST_TEST_REQUIRE(rows.size() == 4U);
    BOOST_TEST((rows[2].reading == jump));
    BOOST_TEST((rows[2].standing == Standing::accepted_by_operator));
    BOOST_TEST((rows[2].received_at == noon)); // not when the operator decided
    BOOST_TEST(count_events(ledger, EventKind::held_accepted) == 1U);
}

BOOST_FIXTURE_TEST_CASE(I3_an_accepted_fall_costs_nothing_and_is_the_baseline, WithHeld)
{
    append(ledger, sample(1, 3, 40));
    BOOST_TEST(ledger.accept(held_key(1, 3), noon).has_value());
    BOOST_TEST(is_accepted(append(ledger, sample(1, 4, 55)).outcome));
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 4, 55)));
    BOOST_TEST((ledger.summary(kitchen)->consumption == std::vector<ConsumedPulses>{{{1000}, {115}}}));
    BOOST_TEST((ledger.consumption_until(kitchen, sample(1, 3, 40)) ==
                std::vector<ConsumedPulses>{{{1000}, {100}}}));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).total == Pulses{55}));
}

BOOST_FIXTURE_TEST_CASE(D2_a_discarded_reading_stays_as_a_row_and_never_counts, WithHeld)
{
    const Reading fall = sample(1, 3, 40);
    append(ledger, fall);
    BOOST_TEST(ledger.discard(held_key(1, 3), noon).has_value());

    BOOST_TEST(is_duplicate(append(ledger, fall).outcome)); // so it is confirmed, and it is there
    const auto rows = all_readings(ledger);
    BOOST_TEST_REQUIRE(rows.size() == 3U);
    BOOST_TEST((rows[2].reading == fall));
    BOOST_TEST((rows[2].standing == Standing::discarded));

    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 2, 100)));
    BOOST_TEST((ledger.summary(kitchen)->consumption == std::vector<ConsumedPulses>{{{1000}, {100}}}));
    BOOST_TEST(ledger.summary(kitchen)->held == 0U);
    BOOST_TEST(ledger.held().empty());
    BOOST_TEST(count_events(ledger, EventKind::held_discarded) == 1U);

    // It is no neighbour: what lies under the 100 is refused still, what lies above it is not.
    BOOST_TEST(is_rejected(append(ledger, sample(1, 4, 60)).outcome, RefusalReason::total_fell));
    BOOST_TEST(is_accepted(append(ledger, sample(1, 5, 130)).outcome));
}

BOOST_FIXTURE_TEST_CASE(P6_a_state_tells_of_held_and_discarded_numbers_but_not_of_their_totals, WithHeld)
{
    append(ledger, sample(1, 3, 40));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).sequence == Sequence{3}));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).total == Pulses{100}));
    BOOST_TEST(ledger.discard(held_key(1, 3), noon).has_value());
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).sequence == Sequence{3}));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).total == Pulses{100}));
}

BOOST_FIXTURE_TEST_CASE(what_is_fixed_in_an_epoch_binds_the_operator_too, WithHeld)
{
    const Reading other = simulated(sample(1, 3, 110));
    append(ledger, other);
    BOOST_TEST((ledger.accept(held_key(1, 3), noon).error() == HeldError::constant_changed));
    BOOST_TEST(ledger.held().size() == 1U);
    BOOST_TEST(ledger.discard(held_key(1, 3), noon).has_value());
    BOOST_TEST(is_duplicate(append(ledger, other).outcome));
    BOOST_TEST(is_conflict(append(ledger, sample(1, 3, 110)).outcome));
}

BOOST_FIXTURE_TEST_CASE(a_conflict_can_only_be_put_out_of_sight_and_is_never_confirmed, WithHeld)
{
    const Reading clone = sample(1, 2, 101);
    append(ledger, clone);
    BOOST_TEST((ledger.accept(held_key(1, 2), noon).error() == HeldError::key_taken));
    BOOST_TEST(ledger.discard(held_key(1, 2), noon).has_value());
    BOOST_TEST(ledger.held().empty());
    BOOST_TEST(ledger.summary(kitchen)->held == 0U);

    const Appended again = append(ledger, clone, noon + 1h);
    BOOST_TEST(is_conflict(again.outcome));
    BOOST_TEST((again.notice == Notice::repeated));
    BOOST_TEST(ledger.held().empty());
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 2, 100)));
    BOOST_TEST((ledger.discard(held_key(1, 2), noon).error() == HeldError::not_held));
}

BOOST_FIXTURE_TEST_CASE(what_is_not_held_can_be_neither_accepted_nor_discarded, WithHeld)
{
    append(ledger, sample(1, 3, 40));
    for (const HeldKey& key : {held_key(1, 2), held_key(1, 4), held_key(2, 3),
                               HeldKey{meter_id("garage"), Epoch{1}, Sequence{3}}}) {
        BOOST_TEST((ledger.accept(key, noon).error() == HeldError::not_held));
        BOOST_TEST((ledger.discard(key, noon).error() == HeldError::not_held));
    }
    BOOST_TEST(ledger.accept(held_key(1, 3), noon).has_value());
    BOOST_TEST((ledger.accept(held_key(1, 3), noon).error() == HeldError::not_held));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
