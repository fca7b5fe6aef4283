// Rows B1 and B2: a publish that is never acknowledged is noticed, whoever has lost it.
#include "shared/publish_watch.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

const PublishWatch::SteadyTime start{1000h};
constexpr auto never = PublishWatch::SteadyTime::max();
constexpr auto within = PublishWatch::acknowledged_within;

BOOST_AUTO_TEST_SUITE(publish_watch)

BOOST_AUTO_TEST_CASE(B2_none_acknowledged_for_three_quarters_of_a_minute_is_the_end)
{
    PublishWatch watch;
    BOOST_TEST((watch.stuck_from() == never));
    auto& first = watch.begin(start);
    auto& second = watch.begin(start + 1s);
    BOOST_TEST(watch.outstanding() == 2);
    BOOST_TEST((watch.stuck_from() == start + within));
    BOOST_TEST(watch.end(first, start + 20s) == 1);
    BOOST_TEST((watch.stuck_from() == start + 20s + within)); // there is progress
    BOOST_TEST(watch.end(second, start + 21s) == 0);
    BOOST_TEST((watch.stuck_from() == never));
    static_cast<void>(watch.begin(start + 1h)); // after a pause
    BOOST_TEST((watch.stuck_from() == start + 1h + within));
}

BOOST_AUTO_TEST_CASE(B1_one_that_is_lost_from_among_others_is_missed_after_five_minutes)
{
    PublishWatch watch;
    static_cast<void>(watch.begin(start));
    for (auto now = start + 1s; now < start + 5min - within - 1s; now += 10s) {
        auto& other = watch.begin(now);
        BOOST_TEST(watch.end(other, now + 1s) == 1);
        BOOST_TEST((watch.stuck_from() == now + 1s + within));
    }
    static_cast<void>(watch.end(watch.begin(start + 5min - 1s), start + 5min - 1s));
    BOOST_TEST((watch.stuck_from() == start + 5min));
}

BOOST_AUTO_TEST_CASE(B1_none_that_is_even_taken_for_as_long_is_the_end_too)
{
    PublishWatch watch;
    watch.refused(watch.begin(start), start);
    watch.refused(watch.begin(start + 20s), start + 20s);
    BOOST_TEST(watch.outstanding() == 0);
    BOOST_TEST(!watch.idle());
    BOOST_TEST((watch.stuck_from() == start + within));
    auto& taken = watch.begin(start + 25s);
    watch.taken();
    BOOST_TEST((watch.stuck_from() == start + 25s + within));
    static_cast<void>(watch.end(taken, start + 26s));
    BOOST_TEST(watch.idle());
    BOOST_TEST((watch.stuck_from() == never));
}

BOOST_AUTO_TEST_CASE(there_is_a_place_for_each_of_the_most)
{
    PublishWatch watch;
    std::vector<PublishWatch::Place*> places;
    for (int turn = 0; turn < 3; ++turn) {
        while (watch.outstanding() < PublishWatch::most)
            places.push_back(&watch.begin(start + 1s * turn));
        BOOST_TEST((watch.stuck_from() == start + 1s * turn + within));
        for (std::size_t index = turn == 1 ? 0 : 1; index < places.size(); index += 2) // in any order
            static_cast<void>(watch.end(*places[index], start + 1s * turn));
        std::vector<PublishWatch::Place*> left;
        for (std::size_t index = turn == 1 ? 1 : 0; index < places.size(); index += 2)
            left.push_back(places[index]);
        for (auto* place : left)
            static_cast<void>(watch.end(*place, start + 1s * turn));
        BOOST_TEST(watch.outstanding() == 0);
        BOOST_TEST((watch.stuck_from() == never));
        places.clear();
    }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
