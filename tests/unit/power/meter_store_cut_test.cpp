// P1, P2 and P4 of the meter's store: cuts and failures under SqliteMeterStore, as it is.
#include "meter-pi/sqlite_meter_store.hpp"
#include "tests/unit/power/power_test.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <ostream>

using namespace pulsemeter;

namespace {

constexpr std::size_t outbox_limit = 30; // so small that thinning is met too

Reading reading(std::uint64_t sequence, std::uint64_t total)
{
    return {.epoch = Epoch{3},
            .sequence = Sequence{sequence},
            .total = Pulses{total},
            .measured_at = WallTime{std::chrono::milliseconds{1'700'000'000'000}},
            .boot = BootId{1, 2, 3},
            .source = Source::measured};
}

StoredRegister stored(std::uint64_t last, std::uint64_t total)
{
    return {.source = Source::measured,
            .epoch = Epoch{3},
            .last = Sequence{last},
            .total = Pulses{total},
            .numbered = Pulses{total}};
}

// All that the store promises to keep, as the test expects it and as a store answers.
struct Contents {
    std::optional<StoredRegister> registered;
    std::vector<Reading> outbox;
    std::vector<Reading> held;
    std::optional<std::string> token;
    std::string condition;
    bool operator==(const Contents&) const = default;

    [[nodiscard]] std::uint64_t last() const { return registered ? registered->last.value : 0; }
    [[nodiscard]] std::uint64_t total() const { return registered ? registered->total.value : 0; }
};

std::ostream& operator<<(std::ostream& out, const Contents& contents)
{
    return out << contents.outbox.size() << " waiting and " << contents.held.size() << " held readings, last "
               << contents.last() << ", total " << contents.total() << ", condition " << contents.condition;
}

Contents contents(SqliteMeterStore& store)
{
    Contents found{store.load(Source::measured), store.outbox({}, 1'000), store.held({}, 1'000),
                   store.confirmation_token(), store.condition()};
    BOOST_TEST(store.outbox_size() == found.outbox.size() + found.held.size());
    return found;
}

// One interval's change, and what the store holds when it has taken it.
struct Interval {
    Contents after;
    std::optional<Reading> appended;
    std::vector<Confirmation> confirmed;
    std::vector<Refused> refused;

    void commit(SqliteMeterStore& store) const
    {
        (void)store.commit({.register_now = *after.registered,
                            .reading = appended,
                            .confirmed = confirmed,
                            .refused = refused,
                            .confirmation_token = after.token,
                            .condition = after.condition});
    }
};

void erase_confirmed(std::vector<Reading>& rows, const Confirmation& range)
{
    std::erase_if(
        rows, [&](const Reading& row) { return row.sequence >= range.first && row.sequence <= range.last; });
}

// Of a full outbox of so few rows one goes: of the older half of those that are not held (of those that are, if there
// are no others) the oldest whose number has the lowest bit set, the first and the last of an epoch aside.
void thin(Contents& contents)
{
    for (std::vector<Reading>* rows : {&contents.outbox, &contents.held}) {
        std::sort(rows->begin(), rows->end());
        const std::uint64_t last = rows->empty() ? 0 : rows->back().sequence.value;
        const auto end = rows->begin() + static_cast<std::ptrdiff_t>((rows->size() + 1) / 2);
        const auto lowest_bit = [last](const Reading& row) {
            const std::uint64_t number = row.sequence.value;
            return number == 1 || number == last ? UINT64_MAX : number & (~number + 1);
        };
        const auto victim = std::min_element(rows->begin(), end, [&](const Reading& a, const Reading& b) {
            return lowest_bit(a) < lowest_bit(b);
        });
        if (victim != end && lowest_bit(*victim) != UINT64_MAX) {
            rows->erase(victim);
            return;
        }
    }
}

Interval draw(const Contents& before, Dice& dice)
{
    Interval interval{before, {}, {}, {}};
    Contents& after = interval.after;
    const std::uint64_t total = before.total() + dice.between(1, 400);
    const bool with_reading = !dice.one_in(6);
    after.registered = stored(before.last() + (with_reading ? 1 : 0), total);
    after.condition = "condition " + std::to_string(total);
    if (!before.outbox.empty() && dice.one_in(8)) {
        const Reading refused = before.outbox.front();
        interval.refused = {{refused.epoch, refused.sequence, RefusalReason::total_jumped}};
        after.outbox.erase(after.outbox.begin());
        after.held.push_back(refused);
    } else if (dice.one_in(4)) {
        const std::uint64_t first = dice.between(1, before.last() + 1);
        interval.confirmed = {{Epoch{3}, Sequence{first}, Sequence{first + dice.between(0, 60)}}};
        erase_confirmed(after.outbox, interval.confirmed[0]);
        erase_confirmed(after.held, interval.confirmed[0]);
        after.token = "token " + std::to_string(total);
    }
    if (with_reading) {
        if (after.outbox.size() + after.held.size() >= outbox_limit)
            thin(after);
        interval.appended = reading(after.last(), total);
        after.outbox.push_back(*interval.appended);
    }
    return interval;
}

// A meter's life after life on one disk, and what must be there.
struct Lives {
    PowerFolder folder;
    Contents durable;                 // of the last commit that returned
    std::optional<Contents> underway; // of one that had not returned when the power went
    int came_through = 0;             // how often that one was there afterwards

    // What a restart finds is the one or the other, whole.
    void check(SqliteMeterStore& store)
    {
        const Contents found = contents(store);
        if (underway && found == *underway) {
            durable = *underway;
            ++came_through;
        }
        underway.reset();
        BOOST_REQUIRE_EQUAL(found, durable);
    }

    void commit(SqliteMeterStore& store, Dice& dice)
    {
        const Interval next = draw(durable, dice);
        underway = next.after;
        next.commit(store);
        durable = next.after;
        underway.reset();
    }

    // Until the power goes. Some stops in between are orderly.
    void live(Dice& dice, std::uint64_t& checked)
    {
        LossyDisk& disk = LossyDisk::installed();
        bool after_a_cut = true;
        try {
            for (;;) {
                SqliteMeterStore store(folder.path(), StoreAccess::own, outbox_limit);
                check(store);
                checked += after_a_cut ? 1 : 0;
                after_a_cut = false;
                for (std::uint64_t left = dice.between(1, 25); left > 0; --left)
                    commit(store, dice);
                if (dice.one_in(8))
                    disk.cut_now(dice.loss()); // just after a commit has returned
            }
        } catch (const StoreError& failure) {
            BOOST_REQUIRE_MESSAGE(disk.is_cut(), failure.what()); // nothing else may keep it from opening
        }
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(meter_store)

BOOST_AUTO_TEST_CASE(P1_P2_a_power_cut_at_any_step_leaves_the_last_commit_or_the_one_under_way)
{
    LossyDisk& disk = LossyDisk::installed();
    std::uint64_t checked = 0;
    int came_through = 0;
    for (std::uint64_t seed = first_seed(); checked < rounds(1'000); ++seed) {
        Dice dice(seed);
        Lives lives;
        for (int life = 0; life < 20; ++life) {
            BOOST_TEST_CONTEXT("seed " << seed << ", life " << life)
            {
                const Checkpoints often(dice.one_in(2) ? 5 : 60);
                // The first ones are cut while the file is made.
                disk.cut_at(dice.between(1, life < 3 ? 60 : 250), dice.loss());
                lives.live(dice, checked);
                disk.restart(seed * 100 + static_cast<std::uint64_t>(life));
            }
        }
        came_through += lives.came_through;
    }
    BOOST_TEST(came_through > 10); // cuts met commits under way
}

BOOST_AUTO_TEST_CASE(P4_a_failing_disk_fails_the_commit_whole_and_the_next_one_works)
{
    LossyDisk& disk = LossyDisk::installed();
    std::map<int, int> failures; // by SQLite's code, of commits that threw
    PowerFolder folder;
    Contents durable;
    for (std::uint64_t round = 0; round < rounds(400); ++round) {
        BOOST_TEST_CONTEXT("round " << round)
        {
            Dice dice(first_seed() + round);
            const Checkpoints often(dice.one_in(2) ? 5 : 60);
            {
                SqliteMeterStore store(folder.path(), StoreAccess::own, outbox_limit);
                BOOST_REQUIRE_EQUAL(contents(store), durable);
                for (std::uint64_t left = dice.between(1, 6); left > 0; --left) {
                    Interval next = draw(durable, dice);
                    disk.fail_at(dice.between(1, 20));
                    try {
                        next.commit(store);
                    } catch (const StoreError& failure) {
                        BOOST_REQUIRE_MESSAGE(disk.has_failed(), failure.what());
                        ++failures[disk.last_error()];
                        BOOST_REQUIRE_EQUAL(contents(store), durable);
                        next = draw(durable, dice); // the same number with another total, as the meter does
                        next.commit(store);
                    }
                    durable = next.after;
                    BOOST_REQUIRE_EQUAL(contents(store), durable);
                }
                disk.cut_now(dice.loss());
            }
            disk.restart(round);
        }
    }
    for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC})
        BOOST_TEST(failures[code] > 20);
}

// As a service manager does: until it opens.
SqliteMeterStore& start(std::optional<SqliteMeterStore>& store, const PowerFolder& folder)
{
    for (int tries = 0; tries < 60; ++tries) {
        try {
            return store.emplace(folder.path(), StoreAccess::own, outbox_limit);
        } catch (const StoreError& failure) {
            BOOST_REQUIRE_MESSAGE(LossyDisk::installed().has_failed(), failure.what());
        }
    }
    throw std::runtime_error("the store never opens again");
}

// The program itself may end and start again meanwhile: then it may find what it could not commit, the last attempt or
// one before it, none of which was published, and goes on from there, so that has to last as well.
BOOST_AUTO_TEST_CASE(P4_a_disk_that_fails_for_a_while_is_not_taken_for_success_and_heals)
{
    LossyDisk& disk = LossyDisk::installed();
    int failures = 0;
    int found_after_start = 0;
    PowerFolder folder;
    Contents durable;
    for (std::uint64_t round = 0; round < rounds(400); ++round) {
        BOOST_TEST_CONTEXT("round " << round)
        {
            Dice dice(first_seed() + round);
            const Checkpoints often(dice.one_in(2) ? 5 : 60);
            {
                std::optional<SqliteMeterStore> store;
                BOOST_REQUIRE_EQUAL(contents(start(store, folder)), durable);
                disk.fail_at(dice.between(1, 20), dice.between(2, 20));
                std::vector<Contents> attempts; // failed since the last commit that returned
                for (int done = 0, tries = 0; done < 3; ++tries) {
                    BOOST_REQUIRE(tries < 60); // it never heals
                    const Interval next = draw(durable, dice);
                    try {
                        next.commit(*store);
                        durable = next.after;
                        attempts.clear();
                        ++done;
                    } catch (const StoreError&) {
                        ++failures;
                        attempts.push_back(next.after);
                        BOOST_REQUIRE_EQUAL(contents(*store), durable);
                        if (dice.one_in(4)) {
                            store.reset();
                            const Contents found = contents(start(store, folder));
                            if (std::find(attempts.begin(), attempts.end(), found) != attempts.end()) {
                                durable = found;
                                ++found_after_start;
                                break;
                            }
                        }
                    }
                    BOOST_REQUIRE_EQUAL(contents(*store), durable);
                }
                disk.cut_now(dice.loss());
            }
            disk.restart(round);
        }
    }
    BOOST_TEST(failures > 200);
    BOOST_TEST(found_after_start > 5);
}

BOOST_AUTO_TEST_SUITE_END()
