// Row C5: setting the register is an audited event and a new epoch; the total never falls within one, and no pulse
// that was counted before or after it is lost to consumption.
#include "meter-pi/energy_register.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <map>
#include <utility>

using namespace pulsemeter;

namespace {

constexpr MeterConstant constant{1000};
constexpr MilliwattHours display{12'345'678'000};
constexpr auto set_bit = static_cast<std::uint32_t>(MeterEvent::register_set);
constexpr auto swap_bit = static_cast<std::uint32_t>(MeterEvent::meter_swapped);
constexpr auto constant_bit = static_cast<std::uint32_t>(MeterEvent::constant_changed);

StoredRegister known(std::uint32_t epoch, std::uint64_t last, std::uint64_t total, std::uint64_t numbered)
{
    return {.source = Source::measured,
            .epoch = Epoch{epoch},
            .last = Sequence{last},
            .total = Pulses{total},
            .numbered = Pulses{numbered},
            .constant = constant};
}

StoredRegister set(const StoredRegister& stored, MilliwattHours to = display, MeterConstant with = constant,
                   MeterChange change = MeterChange::same_meter)
{
    return set_register(stored, to, with, change).value();
}

State state(std::uint32_t highest, std::uint32_t epoch, std::uint64_t sequence, std::uint64_t total)
{
    return {.highest_epoch = Epoch{highest},
            .epoch = Epoch{epoch},
            .sequence = Sequence{sequence},
            .total = Pulses{total},
            .constant = constant};
}

struct Taken {
    Reading reading;
    StoredRegister disk;
};

Taken take(EnergyRegister& reg)
{
    const Reading reading = reg.draft({});
    const StoredRegister disk = reg.stored_with(reading);
    reg.taken(reading);
    return {reading, disk};
}

// What the meter's loop takes at one interval, in its order.
std::vector<Taken> interval(EnergyRegister& reg)
{
    std::vector<Taken> all;
    if (reg.stored().renewal) {
        while (!reg.renewal_due())
            all.push_back(take(reg));
        reg.renew();
    }
    const bool starts_epoch = reg.at_epoch_start();
    all.push_back(take(reg));
    if (starts_epoch && reg.stored().total > reg.stored().numbered)
        all.push_back(take(reg));
    return all;
}

std::pair<std::uint32_t, std::uint64_t> key_of(const Taken& taken)
{
    return {taken.reading.epoch.value, taken.reading.sequence.value};
}

} // namespace

BOOST_AUTO_TEST_SUITE(register_set)

BOOST_AUTO_TEST_CASE(C5_a_set_register_shows_the_display_and_begins_an_epoch_there)
{
    const StoredRegister stored = set(known(2, 10, 500, 500));
    BOOST_TEST(energy(value_of(stored)).value == display.value);
    BOOST_TEST(stored.renewal->events == set_bit);
    EnergyRegister reg(stored);
    reg.count(4, {});
    BOOST_TEST(energy(value_of(reg.stored())).value == display.value + 4'000U);
    BOOST_TEST(reg.hello({}, {}).total.value == 500U);
    BOOST_TEST((reg.greet(state(2, 2, 10, 500)) == Greeting::continued));
    const auto taken = interval(reg);
    BOOST_REQUIRE(taken.size() == 2U);
    BOOST_TEST((key_of(taken[0]) == std::pair(3U, std::uint64_t{1})));
    BOOST_TEST(taken[0].reading.total.value == 0U);
    BOOST_TEST(taken[0].reading.start.value == display.value);
    BOOST_TEST(!taken[0].disk.renewal.has_value());
    BOOST_TEST(taken[1].reading.total.value == 4U);
}

BOOST_AUTO_TEST_CASE(C5_what_was_counted_before_it_is_numbered_in_the_old_epoch_first)
{
    EnergyRegister reg(set(known(2, 10, 530, 500), display, MeterConstant{800}));
    reg.count(4, {});
    (void)reg.greet(state(2, 2, 10, 500));
    BOOST_TEST(!reg.renewal_due());
    const auto taken = interval(reg);
    BOOST_REQUIRE(taken.size() == 3U);
    BOOST_TEST((key_of(taken[0]) == std::pair(2U, std::uint64_t{11})));
    BOOST_TEST(taken[0].reading.total.value == 530U);
    BOOST_TEST(taken[0].reading.constant.imp_per_kwh == 1000U);
    BOOST_TEST(taken[0].disk.renewal.has_value());
    BOOST_TEST((key_of(taken[1]) == std::pair(3U, std::uint64_t{1})));
    BOOST_TEST(taken[1].reading.constant.imp_per_kwh == 800U);
    BOOST_TEST(taken[2].reading.total.value == 4U);
}

BOOST_AUTO_TEST_CASE(C5_a_cut_between_the_two_epochs_is_gone_on_from)
{
    EnergyRegister before(set(known(2, 10, 530, 500)));
    before.count(4, {});
    (void)before.greet(state(2, 2, 10, 500));
    EnergyRegister after(take(before).disk);
    after.count(1, {});
    (void)after.greet(state(2, 2, 11, 530));
    const auto taken = interval(after);
    BOOST_TEST((key_of(taken.front()) == std::pair(3U, std::uint64_t{1})));
    BOOST_TEST(taken.back().reading.total.value == 5U);
}

BOOST_AUTO_TEST_CASE(C5_a_register_that_no_server_knows_begins_with_the_display_at_once)
{
    EnergyRegister reg(set({.source = Source::measured, .constant = constant}));
    BOOST_TEST(!reg.hello({}, {}).has_register);
    (void)reg.greet(state(0, 0, 0, 0));
    const auto taken = interval(reg);
    BOOST_REQUIRE(taken.size() == 1U);
    BOOST_TEST((key_of(taken[0]) == std::pair(1U, std::uint64_t{1})));
    BOOST_TEST(taken[0].reading.start.value == display.value);
}

BOOST_AUTO_TEST_CASE(C5_its_epoch_is_above_every_one_that_the_server_or_the_disk_knows)
{
    const Epoch of_the_other_register{7};
    EnergyRegister by_disk(set(known(2, 10, 500, 500)), of_the_other_register);
    (void)by_disk.greet(state(2, 2, 10, 500));
    BOOST_TEST(interval(by_disk).front().reading.epoch.value == 8U);

    EnergyRegister by_server(set(known(2, 10, 530, 500)));
    BOOST_TEST((by_server.greet(state(9, 9, 3, 520)) == Greeting::server_was_ahead));
    const auto taken = interval(by_server);
    BOOST_TEST(taken.front().reading.epoch.value == 10U);
    BOOST_TEST(taken.back().reading.epoch.value == 11U);
    BOOST_TEST(taken.back().reading.start.value == display.value);
}

BOOST_AUTO_TEST_CASE(C5_a_swap_and_another_constant_are_said)
{
    const StoredRegister used = known(2, 10, 500, 500);
    BOOST_TEST(set(used, display, constant, MeterChange::another_meter).renewal->events ==
               (set_bit | swap_bit));
    BOOST_TEST(set(used, display, MeterConstant{800}).renewal->events == (set_bit | constant_bit));
    const StoredRegister fresh{.source = Source::measured, .constant = constant};
    BOOST_TEST(set(fresh, display, MeterConstant{800}).renewal->events == set_bit);
}

BOOST_AUTO_TEST_CASE(C5_set_again_replaces_unless_pulses_would_be_lost)
{
    const StoredRegister once = set(known(2, 10, 500, 500), display, constant, MeterChange::another_meter);
    const StoredRegister again = set(once, MilliwattHours{7});
    BOOST_TEST(again.renewal->start.value == 7U);
    BOOST_TEST((again.renewal->events & swap_bit) != 0U);
    EnergyRegister reg(again);
    reg.count(1, {});
    BOOST_TEST((set_register(reg.stored(), display, constant, MeterChange::same_meter).error() ==
                SetError::set_before));
}

BOOST_AUTO_TEST_CASE(C5_no_pulse_is_lost_whenever_it_is_set_and_whenever_the_power_goes)
{
    BOOST_TEST(rc::check("sets and cuts at random points", [] {
        StoredRegister disk{.source = Source::measured, .constant = constant};
        State server = state(0, 0, 0, 0);
        std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>> epochs; // first and last total
        const auto accounted = [&] {
            std::uint64_t sum =
                disk.epoch.value == 0 ? disk.total.value : disk.total.value - disk.numbered.value;
            for (const auto& [epoch, ends] : epochs)
                sum += ends.second - ends.first;
            return sum + (disk.renewal ? disk.renewal->total.value : 0);
        };
        const auto lives = *rc::gen::inRange(1, 8);
        for (int life = 0; life < lives; ++life) {
            const std::uint64_t before = accounted();
            if (const auto after = set_register(disk, display, constant, MeterChange::same_meter);
                after && *rc::gen::inRange(0, 2) == 0)
                disk = *after;
            RC_ASSERT(accounted() == before);
            EnergyRegister reg(disk);
            auto counted = *rc::gen::inRange<std::uint64_t>(0, 20);
            reg.count(counted, {});
            if (*rc::gen::inRange(0, 3) == 0) { // no server in this life
                disk = reg.stored();
                RC_ASSERT(accounted() == before + counted);
                continue;
            }
            (void)reg.greet(server);
            counted += *rc::gen::inRange<std::uint64_t>(0, 20);
            reg.count(counted, {});
            const auto taken = interval(reg);
            const auto stored = *rc::gen::inRange<std::size_t>(0, taken.size() + 1);
            for (std::size_t i = 0; i < stored; ++i) { // then the power goes
                const Reading& reading = taken[i].reading;
                disk = taken[i].disk;
                const auto [epoch, is_new] =
                    epochs.try_emplace(reading.epoch.value, reading.total.value, reading.total.value);
                RC_ASSERT(reading.total.value >= epoch->second.second);
                RC_ASSERT(is_new == (reading.sequence.value == 1U));
                RC_ASSERT(std::next(epoch) == epochs.end());
                epoch->second.second = reading.total.value;
                server = state(reading.epoch.value, reading.epoch.value, reading.sequence.value,
                               reading.total.value);
            }
            RC_ASSERT(accounted() >= before);
            RC_ASSERT(accounted() <= before + counted);
            RC_ASSERT(stored < taken.size() || accounted() == before + counted);
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
