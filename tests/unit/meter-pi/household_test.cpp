#include "meter-pi/household.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

std::vector<std::int64_t> first_pulses(Load& load, std::size_t count)
{
    std::vector<std::int64_t> times(count);
    std::generate(times.begin(), times.end(), [&] { return load.next_pulse().count(); });
    return times;
}

std::uint64_t pulses_within(Load& load, std::chrono::nanoseconds end)
{
    std::uint64_t pulses = 0;
    while (load.next_pulse() < end)
        ++pulses;
    return pulses;
}

} // namespace

BOOST_AUTO_TEST_SUITE(household)

BOOST_AUTO_TEST_CASE(uniform_brings_each_number_from_0_to_9_equally_often)
{
    const auto load = uniform_load(2s, 1);
    std::array<int, 10> seen{};
    std::uint64_t in_step = 0;
    std::int64_t step = 0;
    while (step < 20'000) {
        const auto at = load->next_pulse() / 2s;
        for (; step < at; ++step) {
            BOOST_REQUIRE_LE(in_step, 9U);
            ++seen.at(std::exchange(in_step, 0));
        }
        ++in_step;
    }
    for (const int steps : seen)
        BOOST_TEST((steps > 1800 && steps < 2200), steps << " of 20,000 steps");
}

BOOST_AUTO_TEST_CASE(uniform_spreads_them_evenly)
{
    const auto load = uniform_load(9s, 4);
    auto before = load->next_pulse();
    for (int i = 0; i < 10'000; ++i) {
        const auto pulse = load->next_pulse();
        BOOST_REQUIRE_GE((pulse - before).count(), std::chrono::nanoseconds(1s).count() - 1);
        before = pulse;
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_pulses_everywhere)
{
    // Written down once: another machine, compiler or library must give the same.
    using Times = std::vector<std::int64_t>;
    const Times uniform{714285714, 2142857142, 3571428571, 5000000000};
    const Times household{4827598571, 6837478636, 8644821165, 10914894102};
    BOOST_TEST(first_pulses(*uniform_load(10s, 42), 4) == uniform, boost::test_tools::per_element());
    BOOST_TEST(first_pulses(*household_load(MeterConstant{1000}, 8h, 42), 4) == household,
               boost::test_tools::per_element());
    BOOST_TEST((first_pulses(*uniform_load(10s, 42), 50) != first_pulses(*uniform_load(10s, 43), 50)));
    BOOST_TEST((first_pulses(*household_load(MeterConstant{1000}, 8h, 42), 50) !=
                first_pulses(*household_load(MeterConstant{1000}, 8h, 43), 50)));
}

BOOST_AUTO_TEST_CASE(household_uses_about_21_kWh_a_day)
{
    for (const std::uint32_t constant : {500U, 1000U, 10'000U}) {
        const auto load = household_load(MeterConstant{constant}, 0h, 7);
        const auto pulses = pulses_within(*load, 100 * 24h);
        const auto watt_hours_a_day = pulses * 1000 / constant / 100;
        BOOST_TEST((watt_hours_a_day > 20'650 && watt_hours_a_day < 20'850), watt_hours_a_day << " Wh a day");
    }
}

BOOST_AUTO_TEST_CASE(household_follows_the_hours_from_the_given_one_on)
{
    // One hour each: the night's 150 W, and the evening's 3 kW.
    const auto night = pulses_within(*household_load(MeterConstant{10'000}, 3h, 1), 1h);
    const auto evening = pulses_within(*household_load(MeterConstant{10'000}, 19h, 1), 1h);
    BOOST_TEST((night > 1'400 && night < 1'600), night);
    BOOST_TEST((evening > 29'400 && evening < 30'600), evening);
    // Past midnight it goes on with the small hours.
    const auto two_days_on = household_load(MeterConstant{10'000}, 24h, 1);
    const auto until_three = pulses_within(*two_days_on, 51h);
    const auto until_four = pulses_within(*household_load(MeterConstant{10'000}, 24h, 1), 52h);
    BOOST_TEST((until_four - until_three > 1'400 && until_four - until_three < 1'600));
}

BOOST_AUTO_TEST_CASE(household_s_spacing_is_random_but_never_below_half_the_mean)
{
    const auto load = household_load(MeterConstant{1000}, 19h, 3); // 3 kW: 1.2 s
    auto before = load->next_pulse();
    std::chrono::nanoseconds least = 1h;
    std::chrono::nanoseconds most = 0s;
    for (int i = 0; i < 2'000; ++i) {
        const auto pulse = load->next_pulse();
        least = std::min(least, pulse - before);
        most = std::max(most, pulse - before);
        before = pulse;
    }
    BOOST_TEST((least >= 600ms));
    BOOST_TEST((least < 610ms));
    BOOST_TEST((most > 3s));
}

BOOST_AUTO_TEST_CASE(a_constant_of_1_does_not_overflow)
{
    const auto load = household_load(MeterConstant{1}, 0h, 1);
    const auto pulses = pulses_within(*load, 100 * 24h);
    BOOST_TEST((pulses > 1'500 && pulses < 2'500),
               pulses); // 20 a day, but a pulse's hour decides its spacing
}

BOOST_AUTO_TEST_SUITE_END()
