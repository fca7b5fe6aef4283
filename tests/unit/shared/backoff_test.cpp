#include "shared/backoff.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <set>
#include <vector>

namespace pulsemeter {
namespace {

using std::chrono::milliseconds;

std::vector<milliseconds> draw(Backoff& backoff, std::size_t count)
{
    std::vector<milliseconds> waits;
    std::generate_n(std::back_inserter(waits), count, [&] { return backoff.next(); });
    return waits;
}

BOOST_AUTO_TEST_SUITE(backoff)

BOOST_AUTO_TEST_CASE(B1_every_wait_is_in_the_upper_half_of_a_step_that_doubles_to_the_most)
{
    const std::vector<int> steps{100, 200, 400, 800, 1600, 2000, 2000, 2000};
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        Backoff backoff(milliseconds(100), milliseconds(2000), seed);
        for (const int step : steps) {
            const auto wait = backoff.next().count();
            BOOST_REQUIRE_GE(wait, step / 2);
            BOOST_REQUIRE_LE(wait, step);
        }
    }
}

BOOST_AUTO_TEST_CASE(B1_the_waits_reach_both_ends_of_the_upper_half)
{
    std::set<std::int64_t> seen;
    for (std::uint64_t seed = 0; seed < 1000; ++seed)
        seen.insert(Backoff(milliseconds(8), milliseconds(8), seed).next().count());
    BOOST_TEST(seen == (std::set<std::int64_t>{4, 5, 6, 7, 8}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(B1_a_reset_starts_again_from_the_first_step)
{
    Backoff backoff(milliseconds(100), milliseconds(60'000), 7);
    static_cast<void>(draw(backoff, 12));
    BOOST_TEST(backoff.next().count() >= 30'000);
    backoff.reset();
    BOOST_TEST(backoff.next().count() <= 100);
    BOOST_TEST(backoff.next().count() <= 200);
}

BOOST_AUTO_TEST_CASE(B1_a_thousand_meters_do_not_come_back_at_once)
{
    std::vector<int> meters_in_slot(10);
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        const auto wait = Backoff(milliseconds(20'000), milliseconds(60'000), seed).next();
        const auto slot = std::min<std::int64_t>((wait.count() - 10'000) / 1000, 9);
        ++meters_in_slot.at(static_cast<std::size_t>(slot));
    }
    // 100 expected in each second; 150 is five standard deviations away
    for (const int meters : meters_in_slot) {
        BOOST_TEST(meters > 50);
        BOOST_TEST(meters < 150);
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_waits)
{
    Backoff one(milliseconds(1000), milliseconds(60'000), 42);
    Backoff same(milliseconds(1000), milliseconds(60'000), 42);
    Backoff other(milliseconds(1000), milliseconds(60'000), 43);
    const auto waits = draw(one, 20);
    BOOST_TEST((draw(same, 20) == waits));
    BOOST_TEST((draw(other, 20) != waits));
}

BOOST_AUTO_TEST_CASE(a_step_of_one_millisecond_is_no_division_by_zero)
{
    Backoff backoff(milliseconds(1), milliseconds(1), 1);
    for (const auto wait : draw(backoff, 100))
        BOOST_TEST(wait.count() <= 1);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
