// EnergyRegister: the total only grows, and no number is given out twice or before the server's greeting.
#include "meter-pi/energy_register.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <vector>

using namespace pulsemeter;

namespace {

constexpr MeterConstant constant{1000};

StoredRegister fresh(Source source = Source::measured)
{
    return {.source = source, .constant = constant};
}

StoredRegister known(std::uint32_t epoch, std::uint64_t last, std::uint64_t total)
{
    return {.source = Source::measured,
            .epoch = Epoch{epoch},
            .last = Sequence{last},
            .total = Pulses{total},
            .numbered = Pulses{total},
            .constant = constant};
}

State state(std::uint32_t highest, std::uint32_t epoch, std::uint64_t sequence, std::uint64_t total)
{
    return {.highest_epoch = Epoch{highest},
            .epoch = Epoch{epoch},
            .sequence = Sequence{sequence},
            .total = Pulses{total},
            .constant = constant};
}

Reading take(EnergyRegister& reg)
{
    const Reading reading = reg.draft({});
    reg.taken(reading);
    return reading;
}

} // namespace

BOOST_AUTO_TEST_SUITE(energy_register)

BOOST_AUTO_TEST_CASE(a_new_register_starts_epoch_1_at_zero_and_counts_what_came_before_the_greeting)
{
    EnergyRegister reg(fresh());
    reg.count(7, {});
    BOOST_TEST(!reg.hello({}, {}).has_register);
    BOOST_TEST((reg.greet(state(0, 0, 0, 0)) == Greeting::first_epoch));
    const Reading base = take(reg);
    BOOST_TEST(base.epoch.value == 1U);
    BOOST_TEST(base.sequence.value == 1U);
    BOOST_TEST(base.total.value == 0U);
    const Reading next = take(reg);
    BOOST_TEST(next.sequence.value == 2U);
    BOOST_TEST(next.total.value == 7U);
}

BOOST_AUTO_TEST_CASE(pulses_saved_before_any_greeting_survive_a_restart)
{
    EnergyRegister before(fresh());
    before.count(40, {});
    EnergyRegister after(before.stored());
    after.count(2, {});
    BOOST_TEST((after.greet(state(0, 0, 0, 0)) == Greeting::first_epoch));
    BOOST_TEST(take(after).total.value == 0U);
    BOOST_TEST(take(after).total.value == 42U);
}

BOOST_AUTO_TEST_CASE(pulses_of_an_earlier_boot_are_not_judged_by_the_uptime_of_this_one)
{
    const ReadingFacts this_boot{.boot = BootId{7}};
    EnergyRegister before(fresh());
    before.count(40'000, {});
    EnergyRegister after(before.stored());
    after.count(2, {});
    (void)after.greet(state(0, 0, 0, 0));
    const Reading base = after.draft(this_boot);
    BOOST_TEST((base.boot == BootId{}));
    after.taken(base);
    BOOST_TEST((after.draft(this_boot).boot == BootId{7}));

    EnergyRegister counted_now(fresh());
    counted_now.count(40, {});
    (void)counted_now.greet(state(0, 0, 0, 0));
    BOOST_TEST((counted_now.draft(this_boot).boot == BootId{7}));
}

BOOST_AUTO_TEST_CASE(P3_a_lost_register_comes_back_from_the_server_in_a_new_epoch)
{
    EnergyRegister reg(fresh());
    reg.count(5, {});
    BOOST_TEST((reg.greet(state(3, 3, 90, 1000)) == Greeting::recovered));
    const Reading base = take(reg);
    BOOST_TEST(base.epoch.value == 4U);
    BOOST_TEST(base.total.value == 1000U);
    BOOST_TEST(take(reg).total.value == 1005U);
}

BOOST_AUTO_TEST_CASE(a_recovered_register_of_another_constant_keeps_its_energy_as_the_start_value)
{
    EnergyRegister reg(fresh());
    State known_at_800 = state(1, 1, 10, 4000); // 5 kWh
    known_at_800.constant = MeterConstant{800};
    known_at_800.start = MilliwattHours{1'000'000};
    reg.count(3, {});
    BOOST_TEST((reg.greet(known_at_800) == Greeting::recovered));
    const Reading base = take(reg);
    BOOST_TEST(base.total.value == 0U);
    BOOST_TEST(base.start.value == 6'000'000U);
    BOOST_TEST(take(reg).total.value == 3U);
}

BOOST_AUTO_TEST_CASE(a_known_register_goes_on_with_the_next_number)
{
    EnergyRegister reg(known(2, 10, 500));
    reg.count(4, {});
    BOOST_TEST((reg.greet(state(2, 2, 10, 500)) == Greeting::continued));
    const Reading next = take(reg);
    BOOST_TEST(next.epoch.value == 2U);
    BOOST_TEST(next.sequence.value == 11U);
    BOOST_TEST(next.total.value == 504U);
}

BOOST_AUTO_TEST_CASE(P1_an_epoch_that_was_saved_before_its_first_reading_goes_on_from_its_base)
{
    StoredRegister begun = known(3, 0, 500); // which no program of ours saves
    begun.total = Pulses{520};
    EnergyRegister reg(begun);
    BOOST_TEST((reg.greet(state(2, 2, 10, 500)) == Greeting::continued));
    BOOST_TEST(take(reg).total.value == 500U);
    BOOST_TEST(take(reg).total.value == 520U);
}

BOOST_AUTO_TEST_CASE(a_server_restored_from_a_backup_takes_the_hello_at_its_word)
{
    EnergyRegister reg(known(2, 10, 500));
    BOOST_TEST((reg.greet(state(2, 2, 4, 200)) == Greeting::continued));
    BOOST_TEST(take(reg).sequence.value == 11U);
    EnergyRegister forgotten(known(2, 10, 500));
    BOOST_TEST((forgotten.greet(state(0, 0, 0, 0)) == Greeting::continued));
    BOOST_TEST(take(forgotten).sequence.value == 11U);
}

BOOST_AUTO_TEST_CASE(P6_an_old_disk_image_begins_a_new_epoch_with_the_larger_total_and_the_new_pulses)
{
    EnergyRegister by_sequence(known(2, 10, 500));
    by_sequence.count(3, {}); // while it waited for the server: no server knows of these
    BOOST_TEST((by_sequence.greet(state(2, 2, 99, 800)) == Greeting::server_was_ahead));
    const Reading base = take(by_sequence);
    BOOST_TEST(base.epoch.value == 3U);
    BOOST_TEST(base.total.value == 800U);
    by_sequence.count(4, {});
    BOOST_TEST(take(by_sequence).total.value == 804U);

    StoredRegister saved = known(2, 10, 500);
    saved.total.value = 520; // these 20 may be among the server's
    EnergyRegister again(saved);
    again.count(3, {});
    BOOST_TEST((again.greet(state(2, 2, 99, 800)) == Greeting::server_was_ahead));
    BOOST_TEST(take(again).total.value == 800U);
    BOOST_TEST(take(again).total.value == 803U);

    EnergyRegister by_epoch(known(2, 10, 900));
    BOOST_TEST((by_epoch.greet(state(5, 5, 1, 800)) == Greeting::server_was_ahead));
    const Reading larger = take(by_epoch);
    BOOST_TEST(larger.epoch.value == 6U);
    BOOST_TEST(larger.total.value == 900U);
}

BOOST_AUTO_TEST_CASE(P6_totals_that_are_counted_from_other_start_values_are_not_mixed)
{
    State set_since = state(6, 6, 4, 20);
    set_since.start = MilliwattHours{12'345'000'000};
    EnergyRegister older_image(known(5, 90, 900));
    older_image.count(2, {});
    BOOST_TEST((older_image.greet(set_since) == Greeting::server_was_ahead));
    const Reading base = take(older_image);
    BOOST_TEST(base.epoch.value == 7U);
    BOOST_TEST(base.total.value == 20U);
    BOOST_TEST(base.start.value == 12'345'000'000U);
    BOOST_TEST(take(older_image).total.value == 22U);

    // The other register's epoch is the server's highest, and of this one it knows the count before it was set.
    StoredRegister set_here = known(6, 3, 20);
    set_here.start = MilliwattHours{12'345'000'000};
    EnergyRegister newer_disk(set_here);
    newer_disk.count(2, {});
    BOOST_TEST((newer_disk.greet(state(7, 5, 90, 900)) == Greeting::server_was_ahead));
    const Reading own = take(newer_disk);
    BOOST_TEST(own.epoch.value == 8U);
    BOOST_TEST(own.total.value == 20U);
    BOOST_TEST(own.start.value == 12'345'000'000U);
    BOOST_TEST(take(newer_disk).total.value == 22U);
}

BOOST_AUTO_TEST_CASE(C7_the_first_measured_register_starts_after_the_simulated_epochs_at_zero)
{
    EnergyRegister reg(fresh(Source::measured));
    BOOST_TEST((reg.greet(state(4, 0, 0, 0)) == Greeting::first_epoch));
    const Reading base = take(reg);
    BOOST_TEST(base.epoch.value == 5U);
    BOOST_TEST(base.total.value == 0U);
    BOOST_TEST((base.source == Source::measured));
}

BOOST_AUTO_TEST_CASE(C7_an_epoch_of_the_other_register_is_not_taken_again_if_the_server_never_heard_of_it)
{
    EnergyRegister reg(fresh(Source::measured), Epoch{3});
    BOOST_TEST((reg.greet(state(1, 0, 0, 0)) == Greeting::first_epoch));
    BOOST_TEST(take(reg).epoch.value == 4U);
}

BOOST_AUTO_TEST_CASE(C7_an_epoch_that_the_server_took_for_the_other_register_is_left)
{
    EnergyRegister reg(known(1, 10, 500));
    BOOST_TEST((reg.greet(state(1, 0, 0, 0)) == Greeting::server_was_ahead));
    const Reading base = take(reg);
    BOOST_TEST(base.epoch.value == 2U);
    BOOST_TEST(base.total.value == 500U);
}

BOOST_AUTO_TEST_CASE(a_draft_that_was_not_taken_uses_no_number_up)
{
    EnergyRegister reg(known(2, 10, 500));
    (void)reg.greet(state(2, 2, 10, 500));
    const Reading failed = reg.draft({});
    reg.count(9, {});
    const Reading stored = take(reg);
    BOOST_TEST(failed.sequence.value == stored.sequence.value);
    BOOST_TEST(stored.total.value == 509U);
    BOOST_TEST(take(reg).sequence.value == 12U);
}

BOOST_AUTO_TEST_CASE(C5_the_total_never_falls_within_an_epoch_whatever_is_counted_stored_and_restarted)
{
    BOOST_TEST(rc::check("restarts at random points, the server knowing any prefix", [] {
        StoredRegister disk = fresh();
        std::vector<State> known_so_far{state(0, 0, 0, 0)}; // after each reading, if the server got it
        std::size_t server = 0;
        Reading last{};
        const auto lives = *rc::gen::inRange(1, 6);
        for (int life = 0; life < lives; ++life) {
            // A server that lags behind a lost disk can't know which numbers are taken: that one is a Conflict.
            const bool disk_lost = *rc::gen::inRange(0, 4) == 0 && server + 1 == known_so_far.size();
            EnergyRegister reg(disk_lost ? fresh() : disk);
            std::uint64_t counted = *rc::gen::inRange<std::uint64_t>(0, 50);
            reg.count(counted, {});
            (void)reg.greet(known_so_far[server]);
            const auto readings = *rc::gen::inRange(1, 10);
            for (int i = 0; i < readings; ++i) {
                const Reading reading = reg.draft({});
                disk = reg.stored_with(reading);
                reg.taken(reading);
                if (reading.epoch == last.epoch) {
                    RC_ASSERT(reading.total >= last.total);
                    RC_ASSERT(reading.sequence > last.sequence);
                } else {
                    RC_ASSERT(reading.epoch > last.epoch);
                    RC_ASSERT(reading.sequence.value == 1U);
                }
                last = reading;
                known_so_far.push_back(state(reading.epoch.value, reading.epoch.value, reading.sequence.value,
                                             reading.total.value));
                counted += *rc::gen::inRange<std::uint64_t>(0, 20);
                reg.count(counted, {});
            }
            server = *rc::gen::inRange(server, known_so_far.size());
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
