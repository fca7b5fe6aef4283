#include "tests/unit/server/ledger_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>
#include <sqlite3.h>

#include <functional>

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
    BOOST_TEST(
        (used_until(ledger, kitchen, sample(1, 3, 40)) == std::vector<ConsumedPulses>{{{1000}, {100}}}));
    BOOST_TEST((ledger.state_for(kitchen, Source::measured).total == Pulses{55}));
}

BOOST_FIXTURE_TEST_CASE(I3_what_arrives_late_on_either_side_of_an_accepted_fall_moves_it, WithHeld)
{
    const auto used = [this] { return ledger.summary(kitchen)->consumption.at(0).pulses.value; };
    append(ledger, sample(1, 10, 40));
    BOOST_TEST(ledger.accept(held_key(1, 10), noon).has_value());
    BOOST_TEST(used() == 100U);
    BOOST_TEST(is_accepted(append(ledger, sample(1, 5, 130)).outcome)); // 0 100 130 | 40
    BOOST_TEST(used() == 130U);
    BOOST_TEST(is_accepted(append(ledger, sample(1, 8, 30)).outcome)); // 0 100 130 | 30 40
    BOOST_TEST(used() == 140U);
    BOOST_TEST(is_accepted(append(ledger, sample(1, 7, 150)).outcome)); // 0 100 130 150 | 30 40
    BOOST_TEST(used() == 160U);
    BOOST_TEST((used_until(ledger, kitchen, sample(1, 8, 30)).at(0).pulses == Pulses{150}));
}

// How many instructions SQLite's machine ran on every connection opened since.
class CountedSteps {
public:
    CountedSteps()
    {
        steps_ = 0;
        sqlite3_auto_extension(reinterpret_cast<void (*)()>(&watch));
    }
    ~CountedSteps() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(&watch)); }
    CountedSteps(const CountedSteps&) = delete;
    CountedSteps& operator=(const CountedSteps&) = delete;
    [[nodiscard]] static std::uint64_t of(const std::function<void()>& action)
    {
        const auto before = steps_;
        action();
        return steps_ - before;
    }

private:
    static int watch(sqlite3* database, const char** /*error*/, const sqlite3_api_routines* /*api*/)
    {
        sqlite3_progress_handler(
            database, 1,
            [](void* /*context*/) {
                ++steps_;
                return 0;
            },
            nullptr);
        return SQLITE_OK;
    }
    static inline std::uint64_t steps_ = 0;
};

BOOST_AUTO_TEST_CASE(after_an_accepted_fall_a_summary_costs_as_little_however_long_the_epoch)
{
    const CountedSteps counted;
    SqliteLedger ledger(":memory:", LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    append(ledger, sample(1, 2, 100));
    append(ledger, sample(1, 3, 40));
    BOOST_TEST(ledger.accept(held_key(1, 3), noon).has_value());
    const auto grow = [&ledger](std::uint64_t from, std::uint64_t to) {
        std::vector<IncomingReading> readings;
        for (std::uint64_t sequence = from; sequence <= to; ++sequence)
            readings.push_back({kitchen, sample(1, sequence, 40 + sequence)});
        (void)ledger.append(readings, noon);
    };
    const auto a_summary = [&] { return CountedSteps::of([&] { (void)ledger.summary(kitchen); }); };
    grow(4, 100);
    const auto with_100 = a_summary();
    grow(101, 5000);
    const auto with_5000 = a_summary();
    BOOST_TEST_MESSAGE(with_100 << " steps with 100 rows, " << with_5000 << " with 5,000");
    BOOST_TEST(with_100 > 20U); // it does count
    BOOST_TEST(with_5000 == with_100);
    BOOST_TEST(ledger.summary(kitchen)->consumption.at(0).pulses.value == 100U + 5000U);
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

BOOST_AUTO_TEST_CASE(I3_however_many_conflicts_were_discarded_a_refused_reading_is_held_and_can_be_accepted)
{
    const TemporaryFolder folder;
    SqliteLedger ledger(folder.ledger(), LedgerAccess::create);
    const std::uint64_t many = SqliteLedger::most_held_per_meter;
    std::vector<IncomingReading> readings;
    for (std::uint64_t sequence = 1; sequence <= many + 1; ++sequence)
        readings.push_back({kitchen, sample(1, sequence, 5 * sequence)});
    (void)ledger.append(readings, noon);
    for (IncomingReading& conflict : readings)
        --conflict.reading.total.value;
    (void)ledger.append(std::span(readings).first(many), noon);
    BOOST_TEST(ledger.held().size() == many);
    SQLite::Database(folder.ledger().string(), SQLite::OPEN_READWRITE)
        .exec("UPDATE held SET dismissed = 1 WHERE sequence > 1"); // as if one by one
    BOOST_TEST(ledger.discard(held_key(1, 1), noon).has_value());

    const Reading fall = sample(1, many + 2, 7);
    BOOST_TEST((append(ledger, fall, noon + 1h).notice == Notice::first_time));
    BOOST_TEST(ledger.held().size() == 1U);
    BOOST_TEST(ledger.accept(held_key(1, many + 2), noon + 1h).has_value());
    BOOST_TEST(is_duplicate(append(ledger, fall, noon + 2h).outcome));

    // Of the conflicts that were discarded the table keeps as many: the last ones that came.
    BOOST_TEST((append(ledger, readings.back().reading, noon + 3h).notice == Notice::first_time));
    BOOST_TEST(ledger.discard(held_key(1, many + 1), noon + 3h).has_value());
    SQLite::Database file(folder.ledger().string());
    BOOST_TEST(file.execAndGet("SELECT count(*) FROM held").getInt64() == static_cast<std::int64_t>(many));
    BOOST_TEST((append(ledger, readings.back().reading, noon + 4h).notice == Notice::repeated));
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
