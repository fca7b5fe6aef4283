// P5: what a day of the meter asks of its card, counted below SqliteMeterStore, as it is.
#include "meter-pi/sqlite_meter_store.hpp"
#include "tests/unit/power/power_test.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace pulsemeter;

namespace {

constexpr std::uint64_t readings_a_day = 24 * 3600 / 10; // at the default interval

StoreChange interval(std::uint64_t sequence)
{
    const StoredRegister now{.source = Source::measured,
                             .epoch = Epoch{3},
                             .last = Sequence{sequence},
                             .total = Pulses{4 * sequence},
                             .numbered = Pulses{4 * sequence}};
    const Reading reading{.epoch = Epoch{3},
                          .sequence = Sequence{sequence},
                          .total = now.total,
                          .measured_at = WallTime{std::chrono::milliseconds{1'700'000'000'000}},
                          .boot = BootId{1, 2, 3},
                          .source = Source::measured};
    return {.register_now = now, .reading = reading, .condition = "sensor ok; connected"};
}

} // namespace

BOOST_AUTO_TEST_SUITE(sync_budget)

// Every reading of the day is stored, and confirmed before the next; the server's answer costs no sync of its own.
BOOST_AUTO_TEST_CASE(P5_a_day_of_readings_takes_at_most_9000_syncs)
{
    LossyDisk& disk = LossyDisk::installed();
    const PowerFolder folder;
    const std::uint64_t before = disk.syncs();
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        for (std::uint64_t sequence = 1; sequence <= readings_a_day; ++sequence) {
            StoreChange change = interval(sequence);
            std::vector<Confirmation> confirmed;
            if (sequence > 1)
                confirmed.push_back(
                    {.epoch = Epoch{3}, .first = Sequence{sequence - 1}, .last = Sequence{sequence - 1}});
            change.confirmed = confirmed;
            change.confirmation_token = std::string(200, 'x');
            (void)store.commit(change);
        }
    }
    const std::uint64_t syncs = disk.syncs() - before;
    BOOST_TEST_MESSAGE(syncs << " syncs a day");
    BOOST_TEST(syncs >= readings_a_day); // or they were not counted
    BOOST_TEST(syncs <= 9'000U);
}

BOOST_AUTO_TEST_SUITE_END()
