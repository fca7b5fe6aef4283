#include "server/time_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <ctime>

using namespace pulsemeter;

namespace {

WallTime at(std::int64_t milliseconds)
{
    return WallTime(std::chrono::milliseconds(milliseconds));
}

// Local times are read and written in a zone of the test's own, two hours east of UTC.
struct ZoneEastOfUtc {
    ZoneEastOfUtc() { set("EAST-2"); }
    ~ZoneEastOfUtc() { set("UTC"); }
    static void set(const char* zone)
    {
        ::setenv("TZ", zone, 1);
        ::tzset();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(time_text, ZoneEastOfUtc)

BOOST_AUTO_TEST_CASE(a_time_for_scripts_is_utc_with_milliseconds)
{
    BOOST_TEST(utc_text(at(0)) == "1970-01-01T00:00:00.000Z");
    BOOST_TEST(utc_text(at(1'663'442'848'007)) == "2022-09-17T19:27:28.007Z");
    BOOST_TEST(utc_text(at(253'402'300'799'999)) == "9999-12-31T23:59:59.999Z");
}

BOOST_AUTO_TEST_CASE(a_time_for_people_is_local_to_the_second)
{
    BOOST_TEST(local_text(at(1'663'442'848'999)) == "2022-09-17 21:27:28");
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read_back)
{
    const WallTime time = at(1'663'442'848'007);
    BOOST_TEST((parse_time(utc_text(time)) == time));
    BOOST_TEST((parse_time(local_text(time)) == at(1'663'442'848'000)));
}

BOOST_AUTO_TEST_CASE(dates_times_and_offsets_are_read)
{
    BOOST_TEST((parse_time("2022-09-17") == at(1'663'365'600'000))); // local midnight
    BOOST_TEST((parse_time("2022-09-17T21:27") == at(1'663'442'820'000)));
    BOOST_TEST((parse_time("2022-09-17T19:27:28Z") == at(1'663'442'848'000)));
    BOOST_TEST((parse_time("2022-09-17T20:57:28.25+01:30") == at(1'663'442'848'250)));
    BOOST_TEST((parse_time("1970-01-01T00:00:00Z") == at(0)));
    BOOST_TEST((parse_time("2024-02-29T00:00:00Z") == at(1'709'164'800'000)));
}

BOOST_AUTO_TEST_CASE(anything_else_is_no_time)
{
    for (const char* text :
         {"", "yesterday", "1663442848", "2022", "2022-09", "2022-13-01", "2022-02-30", "2023-02-29",
          "2022-09-17T", "2022-09-17T25:00", "2022-09-17T19:27:28Zulu", "2022-09-17T19:27:28+", "2022-09-17x",
          "2022-09-17T19:27:28 ", "1969-12-31T00:00:00Z", "99999999999-01-01"}) {
        BOOST_TEST(!parse_time(text).has_value(), "\"" << text << "\" was taken for a time");
    }
}

BOOST_AUTO_TEST_SUITE_END()
