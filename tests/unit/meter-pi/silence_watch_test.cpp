#include "meter-pi/silence_watch.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {
constexpr SteadyTime start{1h};
} // namespace

BOOST_AUTO_TEST_SUITE(silence_watch)

BOOST_AUTO_TEST_CASE(two_minutes_without_an_answer_are_told_and_then_once_an_hour)
{
    SilenceWatch watch;
    BOOST_TEST(!watch.is_to_be_told(start + 1h)); // nothing was sent
    watch.sent(start);
    watch.sent(start + 100s); // again, and again
    BOOST_TEST(!watch.is_to_be_told(start + 119s));
    BOOST_TEST(watch.is_to_be_told(start + 120s));
    BOOST_TEST(!watch.is_to_be_told(start + 121s));
    BOOST_TEST(!watch.is_to_be_told(start + 61min));
    BOOST_TEST(watch.is_to_be_told(start + 62min));
}

BOOST_AUTO_TEST_CASE(an_answer_ends_it)
{
    SilenceWatch watch;
    watch.sent(start);
    watch.ended();
    BOOST_TEST(!watch.is_to_be_told(start + 1h));
    watch.sent(start + 1h);
    BOOST_TEST(!watch.is_to_be_told(start + 1h + 119s));
    BOOST_TEST(watch.is_to_be_told(start + 1h + 120s));
    watch.ended();
    watch.sent(start + 2h);
    BOOST_TEST(watch.is_to_be_told(start + 2h + 120s)); // another silence, another line
}

BOOST_AUTO_TEST_CASE(the_line_names_the_topic_and_the_remedies)
{
    const std::string line = silence_text("a/up");
    for (const char* words :
         {"2 minutes", "meter-server", "key", "publish to a/up", "3.1.1", "meter-pi doctor"})
        BOOST_TEST(line.find(words) != std::string::npos, words);
}

BOOST_AUTO_TEST_SUITE_END()
