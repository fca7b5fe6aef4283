#define BOOST_TEST_MODULE power
#include <boost/test/unit_test.hpp>
