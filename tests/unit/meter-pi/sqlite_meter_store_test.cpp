// SqliteMeterStore on real SQLite files.
#include "shared/errors.hpp"
#include "tests/unit/meter-pi/meter_store_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

using namespace pulsemeter;
namespace fs = std::filesystem;

namespace {

Confirmation range(std::uint64_t first, std::uint64_t last)
{
    return {Epoch{3}, Sequence{first}, Sequence{last}};
}

} // namespace

BOOST_AUTO_TEST_SUITE(sqlite_meter_store)

BOOST_AUTO_TEST_CASE(what_was_committed_is_there_after_a_restart_to_the_last_field)
{
    const TemporaryFolder folder;
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        BOOST_TEST(!store.load(Source::measured).has_value());
        append(store, 1);
        (void)store.commit({.register_now = stored(2, 20),
                            .reading = reading(2),
                            .confirmation_token = "gAAA",
                            .condition = "sensor ok"});
    }
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    BOOST_TEST((store.load(Source::measured) == stored(2, 20)));
    BOOST_TEST(!store.load(Source::simulated).has_value()); // C7: separate registers
    StoredRegister set = stored(2, 20);
    set.renewal = Renewal{MilliwattHours{5}, MeterConstant{500}, Pulses{6}, 0x700};
    (void)store.commit({.register_now = set, .condition = "sensor ok"});
    BOOST_TEST((SqliteMeterStore(folder.path(), StoreAccess::look).load(Source::measured) == set));
    (void)store.commit({.register_now = stored(2, 20), .condition = "sensor ok"});
    BOOST_TEST((store.load(Source::measured) == stored(2, 20)));
    const auto rows = store.outbox({}, 10);
    BOOST_REQUIRE(rows.size() == 2U);
    BOOST_TEST((rows[0] == reading(1)));
    BOOST_TEST((rows[1] == reading(2)));
    BOOST_TEST(store.confirmation_token().value() == "gAAA");
    BOOST_TEST(store.condition() == "sensor ok");
}

BOOST_AUTO_TEST_CASE(exactly_the_confirmed_ranges_go_with_the_next_reading)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    for (std::uint64_t sequence = 1; sequence <= 9; ++sequence)
        append(store, sequence);
    const std::vector confirmed{range(2, 3), range(7, 7), Confirmation{Epoch{2}, Sequence{1}, Sequence{9}}};
    (void)store.commit({.register_now = stored(10, 100), .reading = reading(10), .confirmed = confirmed});
    std::vector<std::uint64_t> left;
    for (const Reading& row : store.outbox({}, 100))
        left.push_back(row.sequence.value);
    BOOST_TEST(left == (std::vector<std::uint64_t>{1, 4, 5, 6, 8, 9, 10}), boost::test_tools::per_element());
    BOOST_TEST(store.outbox({Epoch{3}, Sequence{5}}, 2).size() == 2U);
    BOOST_TEST(store.outbox({Epoch{3}, Sequence{5}}, 2).front().sequence.value == 6U);
}

BOOST_AUTO_TEST_CASE(I3_refused_readings_are_held_and_leave_the_queue)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    append(store, 1);
    append(store, 2);
    const std::vector refused{Refused{Epoch{3}, Sequence{1}, RefusalReason::total_jumped}};
    (void)store.commit({.register_now = stored(2, 20), .reading = std::nullopt, .refused = refused});
    BOOST_REQUIRE(store.held({}, 10).size() == 1U);
    BOOST_TEST((store.held({}, 10).front() == reading(1)));
    BOOST_TEST(store.outbox({}, 10).size() == 1U);
    BOOST_TEST(store.outbox_size() == 2U);
    BOOST_TEST(store.held_size() == 1U);
}

BOOST_AUTO_TEST_CASE(C7_the_highest_epoch_is_that_of_both_registers_and_of_the_outbox)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    BOOST_TEST(store.highest_epoch().value == 0U);
    append(store, 1); // of epoch 3
    BOOST_TEST(store.highest_epoch().value == 3U);
    StoredRegister simulated = stored(1, 1);
    simulated.source = Source::simulated;
    simulated.epoch = Epoch{7};
    (void)store.commit({.register_now = simulated});
    BOOST_TEST(store.highest_epoch().value == 7U);
    Reading left = reading(2);
    left.epoch = Epoch{9};
    (void)store.commit({.register_now = stored(2, 20), .reading = left});
    BOOST_TEST(store.highest_epoch().value == 9U);
}

BOOST_AUTO_TEST_CASE(D5_a_full_outbox_is_thinned_by_whole_old_readings_and_stays_bounded)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own, 100);
    std::size_t thinned = 0;
    for (std::uint64_t sequence = 1; sequence <= 1'000; ++sequence) {
        thinned +=
            store.commit({.register_now = stored(sequence, sequence * 10), .reading = reading(sequence)});
    }
    const auto rows = store.outbox({}, 1'000);
    BOOST_TEST(rows.size() <= 100U);
    BOOST_TEST(rows.size() + thinned == 1'000U);
    BOOST_TEST(rows.front().sequence.value == 1U);
    BOOST_TEST(rows.back().sequence.value == 1'000U);
    for (const Reading& row : rows)
        BOOST_TEST((row == reading(row.sequence.value)));
}

BOOST_AUTO_TEST_CASE(D5_what_thinning_leaves_is_evenly_spaced_and_its_newer_half_is_whole)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own, 100);
    for (std::uint64_t sequence = 1; sequence <= 2'000; ++sequence)
        append(store, sequence);
    const auto rows = store.outbox({}, 1'000);
    BOOST_REQUIRE(rows.size() > 90U);
    BOOST_TEST(rows[rows.size() - 45].sequence.value == 2'000U - 44U);
    std::uint64_t widest = 0;
    for (std::size_t place = 1; place < rows.size(); ++place)
        widest = std::max(widest, rows[place].sequence.value - rows[place - 1].sequence.value);
    BOOST_TEST(widest <= 64U); // some 50 rows for 1,950 readings: every 32nd or 64th of them
}

// Nothing comes after it that could heal the total.
BOOST_AUTO_TEST_CASE(D5_the_last_reading_of_an_older_epoch_is_never_thinned)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own, 20);
    for (std::uint64_t sequence = 1; sequence <= 7; ++sequence)
        append(store, sequence);
    StoredRegister next = stored(0, 70);
    next.epoch = Epoch{4};
    for (std::uint64_t sequence = 1; sequence <= 200; ++sequence) {
        Reading row = reading(sequence);
        row.epoch = next.epoch;
        row.total.value += 70;
        (void)store.commit({.register_now = next, .reading = row});
    }
    const auto rows = store.outbox({}, 100);
    BOOST_TEST(rows.size() <= 20U);
    BOOST_TEST((rows.at(0) == reading(1)));
    BOOST_TEST((rows.at(1) == reading(7)));
    BOOST_TEST(rows.at(2).epoch.value == 4U);
    BOOST_TEST(rows.at(2).sequence.value == 1U);
    BOOST_TEST(rows.back().sequence.value == 200U);
}

BOOST_AUTO_TEST_CASE(I3_held_readings_are_thinned_out_only_where_there_are_no_others)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own, 20);
    for (std::uint64_t sequence = 1; sequence <= 18; ++sequence)
        append(store, sequence);
    std::vector<Refused> refused;
    for (std::uint64_t sequence = 1; sequence <= 16; ++sequence)
        refused.push_back({Epoch{3}, Sequence{sequence}, RefusalReason::total_jumped});
    (void)store.commit({.register_now = stored(18, 180), .reading = std::nullopt, .refused = refused});
    for (std::uint64_t sequence = 19; sequence <= 100; ++sequence)
        append(store, sequence);
    BOOST_TEST(store.held_size() == 16U); // not one of them, although they are the oldest
    BOOST_TEST(store.outbox_size() == 20U);
    BOOST_TEST(store.outbox({}, 20).back().sequence.value == 100U);

    refused.clear();
    for (std::uint64_t sequence = 17; sequence <= 100; ++sequence)
        refused.push_back({Epoch{3}, Sequence{sequence}, RefusalReason::total_jumped});
    (void)store.commit({.register_now = stored(100, 1'000), .reading = std::nullopt, .refused = refused});
    append(store, 101);
    BOOST_TEST(store.outbox_size() == 20U);
    BOOST_TEST(store.held_size() == 19U);
    BOOST_TEST(store.held({}, 1).front().sequence.value == 1U);
    BOOST_TEST((store.outbox({}, 20) == std::vector{reading(101)})); // the newest is never the one that goes
}

BOOST_AUTO_TEST_CASE(looking_needs_a_meter_that_has_run)
{
    const TemporaryFolder folder;
    BOOST_CHECK_THROW(SqliteMeterStore(folder.path(), StoreAccess::look), UsageError);
    SqliteMeterStore running(folder.path(), StoreAccess::own);
    append(running, 1);
    SqliteMeterStore beside(folder.path(), StoreAccess::look);
    BOOST_TEST(beside.outbox_size() == 1U);
    append(running, 2);
    BOOST_TEST(beside.outbox_size() == 2U);
}

BOOST_AUTO_TEST_CASE(P4_a_failed_commit_changes_nothing_and_a_later_one_works)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    append(store, 1);
    BOOST_CHECK_THROW(append(store, 1), StoreError); // the same number twice: refused by the table itself
    BOOST_TEST((store.load(Source::measured) == stored(1, 10)));
    BOOST_TEST(store.outbox_size() == 1U);
    append(store, 2);
    BOOST_TEST(store.outbox_size() == 2U);
}

BOOST_AUTO_TEST_CASE(P1_a_kill_at_any_instant_leaves_the_last_commit_or_a_newer_one)
{
    for (int round = 0; round < 30; ++round) {
        const TemporaryFolder folder;
        int report[2];
        BOOST_REQUIRE(::pipe(report) == 0);
        const pid_t child = ::fork();
        BOOST_REQUIRE(child >= 0);
        if (child == 0) {
            SqliteMeterStore store(folder.path(), StoreAccess::own);
            for (std::uint64_t sequence = 1;; ++sequence) {
                append(store, sequence);
                if (::write(report[1], &sequence, sizeof sequence) < 0)
                    ::_exit(1);
            }
        }
        ::close(report[1]);
        std::uint64_t durable = 0;
        for (int i = 0; i <= round; ++i) {
            BOOST_REQUIRE(::read(report[0], &durable, sizeof durable) ==
                          static_cast<ssize_t>(sizeof durable));
        }
        ::usleep(static_cast<useconds_t>(137 * round));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(report[0]);

        SqliteMeterStore store(folder.path(), StoreAccess::own);
        const auto after = store.load(Source::measured);
        BOOST_REQUIRE(after.has_value());
        BOOST_TEST(after->last.value >= durable);
        BOOST_TEST(after->total.value == after->last.value * 10);
        BOOST_TEST(store.outbox_size() == after->last.value);
    }
}

BOOST_AUTO_TEST_CASE(P5_a_confirmed_reading_writes_two_pages_of_the_log)
{
    const TemporaryFolder folder;
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    const auto interval = [&](std::uint64_t sequence) {
        const std::vector confirmed{Confirmation{Epoch{3}, Sequence{sequence - 1}, Sequence{sequence - 1}}};
        (void)store.commit({.register_now = stored(sequence, sequence * 10),
                            .reading = reading(sequence),
                            .confirmed = confirmed,
                            .confirmation_token = std::string(248, 'x') + std::to_string(sequence),
                            .condition = "connected"});
    };
    std::uint64_t sequence = 1;
    while (sequence <=
           50) // the log was begun anew when the store was opened, and has grown beyond its old end by then
        interval(sequence++);
    const fs::path log = folder.path() / "meter.sqlite-wal";
    const auto before = fs::file_size(log);
    for (int count = 0; count < 100; ++count)
        interval(sequence++);
    constexpr std::uint64_t page_in_log = 4096 + 24;
    BOOST_TEST(fs::file_size(log) - before == page_in_log * 2 * 100);
}

BOOST_AUTO_TEST_CASE(the_newest_confirmation_is_kept_also_by_stores_of_an_earlier_version)
{
    const TemporaryFolder folder;
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        (void)store.commit({.register_now = stored(1, 10), .confirmation_token = "first"});
    }
    {
        SQLite::Database earlier((folder.path() / "meter.sqlite").string(), SQLite::OPEN_READWRITE);
        earlier.exec("ALTER TABLE register DROP COLUMN confirmation");
    }
    SqliteMeterStore store(folder.path(), StoreAccess::own);
    BOOST_TEST((store.load(Source::measured) == stored(1, 10)));
    BOOST_TEST(!store.confirmation_token().has_value());
    (void)store.commit({.register_now = stored(2, 20), .confirmation_token = "second"});
    (void)store.commit({.register_now = stored(3, 30)});
    BOOST_TEST(store.confirmation_token().value() == "second");
    StoredRegister simulated = stored(1, 10);
    simulated.source = Source::simulated;
    (void)store.commit({.register_now = simulated, .confirmation_token = "third"});
    BOOST_TEST(store.confirmation_token().value() == "third");
}

BOOST_AUTO_TEST_SUITE_END()
