#include "meter-pi/kilowatt_hours.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

using namespace pulsemeter;
namespace data = boost::unit_test::data;

BOOST_AUTO_TEST_SUITE(kilowatt_hours)

BOOST_AUTO_TEST_CASE(a_display_is_taken_to_the_last_digit)
{
    BOOST_TEST(parse_kilowatt_hours("12345.678").value().value == 12'345'678'000U);
    BOOST_TEST(parse_kilowatt_hours("0").value().value == 0U);
    BOOST_TEST(parse_kilowatt_hours("007.5").value().value == 7'500'000U);
    BOOST_TEST(parse_kilowatt_hours("0.000001").value().value == 1U);
    BOOST_TEST(parse_kilowatt_hours("9223372036854.775807").value().value == largest_integer);
}

BOOST_DATA_TEST_CASE(anything_else_is_refused,
                     data::make({"", ".", "1.", ".5", "-1", "+1", "1,5", "1 5", "1e3", "0x10", "1.2.3",
                                 "1.1234567", "twelve", "9223372036854.775808", "99999999999999999999"}),
                     text)
{
    BOOST_TEST(!parse_kilowatt_hours(text));
}

BOOST_AUTO_TEST_CASE(what_is_shown_can_be_taken_again)
{
    BOOST_TEST(kilowatt_hours_text({0}) == "0.000");
    BOOST_TEST(kilowatt_hours_text({12'345'678'000}) == "12345.678");
    BOOST_TEST(kilowatt_hours_text({312}) == "0.000312");
    BOOST_TEST(kilowatt_hours_text({1'500'010}) == "1.50001");
    BOOST_TEST(rc::check("text and back", [](std::uint64_t any) {
        const MilliwattHours energy{any % (largest_integer + 1)};
        RC_ASSERT(parse_kilowatt_hours(kilowatt_hours_text(energy)) == energy);
    }));
}

BOOST_AUTO_TEST_SUITE_END()
