// What can be shown without a GPIO chip; the line itself is shown on the emulated board.
#include "meter-pi/gpiod_edge_source.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;

BOOST_AUTO_TEST_SUITE(gpiod_edge_source)

BOOST_AUTO_TEST_CASE(looking_for_a_line_that_no_machine_has_finds_none)
{
    BOOST_TEST(!find_line(LineName{"no line is called so"}).has_value());
    BOOST_TEST(!find_line(LineOffset{"no chip is called so", 0}).has_value());
}

BOOST_AUTO_TEST_CASE(a_chip_that_is_gone_is_a_missing_sensor)
{
    BOOST_CHECK_THROW(GpiodEdgeSource({"/dev/gpiochip-none", 17}, GpioSettings{}), SensorMissing);
}

BOOST_AUTO_TEST_CASE(what_is_no_chip_is_refused_with_its_name)
{
    BOOST_CHECK_EXCEPTION(GpiodEdgeSource({"/dev/null", 17}, GpioSettings{}), std::runtime_error,
                          [](const std::runtime_error& error) {
                              return std::string(error.what()).find("/dev/null") != std::string::npos;
                          });
}

BOOST_AUTO_TEST_CASE(the_library_tells_its_version)
{
    BOOST_TEST(gpiod_version().substr(0, 2) == "2.");
}

BOOST_AUTO_TEST_SUITE_END()
