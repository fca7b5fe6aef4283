#include "server/consumption.hpp"
#include "server/decimal.hpp"
#include "tests/unit/server/samples.hpp"

#include <boost/test/unit_test.hpp>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(consumption)

BOOST_AUTO_TEST_CASE(decimals_are_shown_without_loss_and_without_idle_zeros)
{
    BOOST_TEST(decimal_text(0, 0, 0) == "0");
    BOOST_TEST(decimal_text(0, 6, 3) == "0.000");
    BOOST_TEST(decimal_text(48'000, 6, 3) == "0.048");
    BOOST_TEST(decimal_text(48'001, 6, 3) == "0.048001");
    BOOST_TEST(decimal_text(48'010, 6, 3) == "0.04801");
    BOOST_TEST(decimal_text(12'000'000, 6, 3) == "12.000");
    BOOST_TEST(decimal_text(12'000'000, 6, 0) == "12");
    BOOST_TEST(decimal_text(1, 9, 2) == "0.000000001");
    BOOST_TEST(decimal_text(~Wide{0}, 0, 0) == "340282366920938463463374607431768211455");
}

BOOST_AUTO_TEST_CASE(a_unit_is_a_whole_watt_hour)
{
    BOOST_TEST(units_text({48}, {1000}) == "48");
    BOOST_TEST(units_text({48}, {10'000}) == "4");
    BOOST_TEST(units_text({3}, {500}) == "6");
    BOOST_TEST(units_text({largest_integer}, {1}) == "9223372036854775807000");
}

BOOST_AUTO_TEST_CASE(kilowatt_hours_are_cut_below_a_milliwatt_hour)
{
    BOOST_TEST(kwh_text({48}, {1000}, {0}) == "0.048");
    BOOST_TEST(kwh_text({1}, {3200}, {0}) == "0.000312"); // 0.0003125
    BOOST_TEST(kwh_text({1}, {3}, {0}) == "0.333333");
    BOOST_TEST(kwh_text({2}, {3}, {0}) == "0.666666");
    BOOST_TEST(kwh_text({48}, {1000}, {12'345'600'000}) == "12345.648");
    BOOST_TEST(kwh_text({0}, {1000}, {0}) == "0.000");
    BOOST_TEST(kwh_text({largest_integer}, {1}, {largest_integer}) == "9223381260226812661.775807");
}

BOOST_AUTO_TEST_CASE(a_meter_is_stale_after_three_intervals)
{
    Reading newest = sample(1, 5, 100);
    const WallTime received = newest.measured_at + 1s;
    BOOST_TEST(!is_stale(newest, received, Delivery::live, 20s, newest.measured_at + 60s));
    BOOST_TEST(is_stale(newest, received, Delivery::live, 20s, newest.measured_at + 60'001ms));
    BOOST_TEST(!is_stale(newest, received, Delivery::live, std::nullopt, newest.measured_at + 30s));
    BOOST_TEST(is_stale(newest, received, Delivery::live, std::nullopt, newest.measured_at + 30'001ms));
}

BOOST_AUTO_TEST_CASE(a_late_receipt_does_not_make_an_old_measurement_fresh)
{
    Reading newest = sample(1, 5, 100);
    const WallTime received = newest.measured_at + 24h;
    BOOST_TEST(is_stale(newest, received, Delivery::live, 10s, received + 1s));
    newest.clock = Clock::unsynchronised; // its time says nothing
    BOOST_TEST(!is_stale(newest, received, Delivery::live, 10s, received + 1s));
    BOOST_TEST(is_stale(newest, received, Delivery::retained, 10s, received + 1s));
    newest.measured_at = received + 24h;
    newest.clock = Clock::synchronised; // nor does one from the future
    BOOST_TEST(is_stale(newest, received, Delivery::live, 10s, received + 31s));
}

BOOST_AUTO_TEST_CASE(intervals_that_make_no_sense_are_bounded)
{
    const Reading newest = sample(1, 5, 100);
    BOOST_TEST(!is_stale(newest, newest.measured_at, Delivery::live, 1ms, newest.measured_at + 3s));
    BOOST_TEST(is_stale(newest, newest.measured_at, Delivery::live, std::chrono::milliseconds::max(),
                        newest.measured_at + 73h));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
