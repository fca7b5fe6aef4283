#define BOOST_TEST_MODULE meter_pi
#include <boost/test/unit_test.hpp>
