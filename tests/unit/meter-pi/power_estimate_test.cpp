#include "meter-pi/power_estimate.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t most = 4'294'967'294;

std::uint32_t power(std::uint32_t constant, std::chrono::nanoseconds spacing,
                    std::chrono::nanoseconds silence)
{
    const auto pulse = 1000s;
    return estimate_power(MeterConstant{constant}, pulse, spacing, pulse + silence).value().value;
}

} // namespace

BOOST_AUTO_TEST_SUITE(power_estimate)

BOOST_AUTO_TEST_CASE(the_spacing_gives_the_power)
{
    BOOST_TEST(power(1000, 3'600ms, 0s) == 1'000'000U); // 1 Wh in 3.6 s is 1 kW
    BOOST_TEST(power(1000, 36s, 1s) == 100'000U);
    BOOST_TEST(power(10'000, 8'372us, 0s) == 43'000'477U); // 43,000,477.78, rounded down
    BOOST_TEST(power(800, 1h, 0s) == 1'250U);
    BOOST_TEST(power(1, 1h, 0s) == 1'000'000U);
}

BOOST_AUTO_TEST_CASE(silence_bounds_it_and_the_bound_falls)
{
    BOOST_TEST(power(1000, 3'600ms, 3'600ms) == 1'000'000U);
    BOOST_TEST(power(1000, 3'600ms, 7'200ms) == 500'000U);
    BOOST_TEST(power(1000, 3'600ms, 1h) == 1'000U);
    BOOST_TEST(power(1000, 3'600ms, 24h * 365) == 0U);
}

BOOST_AUTO_TEST_CASE(it_is_unknown_before_two_pulses)
{
    BOOST_TEST(!estimate_power(MeterConstant{1000}, std::nullopt, std::nullopt, 1s));
    BOOST_TEST(!estimate_power(MeterConstant{1000}, 1s, std::nullopt, 100s));
}

BOOST_AUTO_TEST_CASE(it_saturates_below_the_wire_s_value_for_unknown)
{
    BOOST_TEST(power(1, 1ms, 0s) == most);
    BOOST_TEST(power(1, 0ns, 0ns) == most);
    BOOST_TEST(power(1000, 0s, -1s) == most);
    BOOST_TEST(power(1'000'000, 1ns, 0ns) == most);
    BOOST_TEST(power(1000, 838us, 0ns) == most);
    BOOST_TEST(power(1000, 839us, 0ns) == 4'290'822'407U);
}

BOOST_AUTO_TEST_CASE(a_clock_behind_the_last_pulse_does_not_raise_it)
{
    BOOST_TEST(power(1000, 3'600ms, -10s) == 1'000'000U);
}

BOOST_AUTO_TEST_CASE(property_never_more_than_one_pulse_s_energy_over_the_silence)
{
    BOOST_TEST(rc::check("power x time <= the energy of one pulse, and less by under one mW", [] {
        const auto constant = *rc::gen::inRange<std::uint64_t>(1, 1'000'001);
        const auto nanoseconds = *rc::gen::inRange<std::int64_t>(1, 1'000'000'000'000'000);
        const auto result =
            power(static_cast<std::uint32_t>(constant), std::chrono::nanoseconds(nanoseconds), 0s);
        RC_PRE(result < most);
        const auto exact =
            3.6e18L / static_cast<long double>(constant) / static_cast<long double>(nanoseconds);
        RC_ASSERT(static_cast<long double>(result) <= exact * (1 + 1e-15L));
        RC_ASSERT(static_cast<long double>(result) + 1 > exact * (1 - 1e-15L));
    }));
}

BOOST_AUTO_TEST_SUITE_END()
