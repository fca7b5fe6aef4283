#include "meter-pi/pulse_counter.hpp"
#include "tests/unit/meter-pi/signal.hpp"

#include <boost/test/unit_test.hpp>

#include <limits>
#include <random>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;

namespace {

// Drops the edges [from, to) as a full kernel buffer does.
std::vector<Edge> without(std::vector<Edge> edges, std::size_t from, std::size_t to)
{
    edges.erase(edges.begin() + static_cast<std::ptrdiff_t>(from),
                edges.begin() + static_cast<std::ptrdiff_t>(to));
    return edges;
}

} // namespace

BOOST_AUTO_TEST_SUITE(pulse_counter)

BOOST_AUTO_TEST_CASE(C2_seqno_wraps_at_2_to_the_32)
{
    PulseCounter counter = raw_counter();
    Line line(1);
    line.run(30ms, 30ms);
    counter.add(line.take());
    // 2^32 − 6 edges are lost, which is a step back by its size, so get there by two jumps.
    const std::uint32_t last = std::numeric_limits<std::uint32_t>::max();
    const auto later = [&](std::chrono::hours hours, Level level, std::uint32_t seqno) {
        const Edge edge{line.now() + hours, level, seqno};
        counter.add({&edge, 1});
    };
    later(100'000h, Level::inactive, 1U << 31U);
    later(200'000h, Level::active, last - 2);
    later(200'001h, Level::inactive, last - 1);
    later(200'002h, Level::active, last);
    later(200'003h, Level::inactive, 0); // wraps
    later(200'004h, Level::active, 5);   // 1 to 4 are lost
    later(200'005h, Level::inactive, 6);
    // 2^32 + 7 edges but for the last half pulse each side: two a pulse, numbers 1 … 2^32 − 1, 0, 1 … 6
    BOOST_TEST(counter.pulses() == ((1ULL << 32U) + 6) / 2);
    BOOST_TEST(counter.quality().uncertain == 0U);
    BOOST_TEST(counter.quality().missed_edges == last - 2 - 3 - 1 + 4);
}

BOOST_AUTO_TEST_CASE(C2_an_overflow_of_clean_pulses_is_healed_exactly)
{
    std::mt19937_64 random(2);
    for (int world = 0; world < 200; ++world) {
        PulseCounter counter = raw_counter(fast_filter);
        KernelBuffer kernel;
        Line line;
        std::uint64_t sent = 0;
        for (int stall = 0; stall < 20; ++stall) {
            for (auto more = random() % 2000; more > 0; --more, ++sent) {
                line.run(2ms, 8ms); // 100 Hz
                kernel.push(line.take());
            }
            if (random() % 2 == 0) { // the reader wakes in the middle of a pulse
                line.go(Level::active);
                line.wait(2ms);
                kernel.push(line.take());
                counter.add(kernel.read());
                line.go(Level::inactive);
                line.wait(8ms);
                kernel.push(line.take());
                ++sent;
            } else {
                counter.add(kernel.read());
            }
        }
        counter.add(kernel.read());
        BOOST_REQUIRE_EQUAL(counter.pulses(), sent);
        BOOST_REQUIRE(counter.quality().missed_edges > 0);
        BOOST_REQUIRE_EQUAL(counter.quality().uncertain, 0U);
        BOOST_REQUIRE_EQUAL(counter.quality().glitches, 0U);
    }
}

BOOST_AUTO_TEST_CASE(C2_every_single_gap_in_a_clean_signal_is_healed_exactly)
{
    Line line;
    for (int i = 0; i < 12; ++i)
        line.run(30ms, 30ms);
    const auto edges = line.edges();
    for (std::size_t from = 0; from < edges.size(); ++from)
        for (std::size_t to = from; to < edges.size(); ++to) { // the last edge is always seen
            PulseCounter counter = raw_counter();
            counter.add(without(edges, from, to));
            BOOST_REQUIRE_EQUAL(counter.pulses(), 12U);
            BOOST_REQUIRE_EQUAL(counter.quality().missed_edges, to - from);
            BOOST_REQUIRE_EQUAL(counter.quality().uncertain, 0U);
        }
}

BOOST_AUTO_TEST_CASE(C2_an_overflow_with_bounce_errs_by_half_the_missed_edges_at_most_and_says_so)
{
    std::mt19937_64 random(3);
    for (int world = 0; world < 300; ++world) {
        PulseCounter counter = raw_counter();
        KernelBuffer kernel;
        Line line;
        std::uint64_t sent = 0;
        for (; sent < 50; ++sent)
            bouncing_pulse(line, random);
        counter.add(line.take()); // the bounce has been seen
        for (int stall = 0; stall < 5; ++stall) {
            for (auto more = random() % 1500; more > 0; --more, ++sent) {
                bouncing_pulse(line, random);
                kernel.push(line.take());
            }
            counter.add(kernel.read());
        }
        const auto error = counter.pulses() > sent ? counter.pulses() - sent : sent - counter.pulses();
        BOOST_REQUIRE_LE(error, counter.quality().missed_edges / 2);
        BOOST_REQUIRE_LE(error, counter.quality().uncertain);
        BOOST_REQUIRE_EQUAL(counter.quality().missed_edges > 0, counter.quality().uncertain > 0);
        // Far better than the bound: the share of bounce is known.
        BOOST_REQUIRE_LE(error, sent / 10);
    }
}

BOOST_AUTO_TEST_CASE(C2_rising_only_is_exact_over_gaps_and_wrap)
{
    PulseCounter counter(Detection::rising_only, Level::inactive, {});
    const auto rise = [&](std::chrono::milliseconds time, std::uint32_t seqno) {
        const Edge edge{time, Level::active, seqno};
        counter.add({&edge, 1});
    };
    rise(1s, 1);
    rise(2s, 2);
    BOOST_TEST((counter.last_spacing() == 1s));
    rise(3s, 500);
    BOOST_TEST(!counter.last_spacing());
    BOOST_TEST(counter.pulses() == 500U);
    rise(4s, 1U << 31U);
    rise(5s, std::numeric_limits<std::uint32_t>::max());
    rise(6s, 1); // 0 is lost
    BOOST_TEST(counter.pulses() == (1ULL << 32U) + 1);
    BOOST_TEST(counter.quality().missed_edges == std::numeric_limits<std::uint32_t>::max() - 4);
    BOOST_TEST(counter.quality().uncertain == 0U);
}

BOOST_AUTO_TEST_CASE(C2_rising_only_lost_before_the_first_edge)
{
    PulseCounter counter(Detection::rising_only, Level::active, {});
    const Edge edge{1s, Level::active, 477};
    counter.add({&edge, 1});
    BOOST_TEST(counter.pulses() == 477U);
}

BOOST_AUTO_TEST_CASE(C2_noise_that_is_only_in_the_gap_is_not_taken_for_clean_pulses)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(30ms, 30ms);
    for (int i = 0; i < 1000; ++i)
        line.run(5us, 5us);
    line.wait(30ms);
    line.run(30ms, 30ms);
    counter.add(without(line.edges(), 2, 2002));
    BOOST_TEST(counter.pulses() <= 12U);
    BOOST_TEST(counter.quality().uncertain == counter.pulses() - 2);
}

BOOST_AUTO_TEST_CASE(C2_a_step_back_of_the_seqno_makes_no_pulses)
{
    PulseCounter counter = raw_counter();
    Line line(100);
    line.run(30ms, 30ms);
    Line before(40);
    before.wait(60ms);
    before.run(30ms, 30ms);
    counter.add(line.edges());
    const auto healed = counter.pulses();
    counter.add(before.edges());
    BOOST_TEST(counter.pulses() == healed + 1);
    BOOST_TEST(counter.quality().uncertain > 0U);
}

BOOST_AUTO_TEST_CASE(a_line_active_at_start_makes_no_pulse_over_a_gap_either)
{
    Line line;
    line.wait(20ms);
    line.go(Level::inactive);
    line.wait(30ms);
    for (int i = 0; i < 6; ++i)
        line.run(30ms, 30ms);
    for (std::size_t lost = 0; lost < line.edges().size(); ++lost) {
        PulseCounter counter = raw_counter(s0_filter, Level::active);
        counter.add(without(line.edges(), 0, lost));
        BOOST_TEST(counter.pulses() == 6U, lost << " lost");
        BOOST_TEST(counter.quality().uncertain == 0U);
    }
}

BOOST_AUTO_TEST_CASE(two_equal_edges_from_a_late_label_are_one_uncertain_pulse)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(30ms, 30ms);
    line.go(Level::inactive); // was a rising edge, its label read too late
    line.wait(3ms);
    line.go(Level::inactive);
    line.wait(60ms);
    line.run(30ms, 30ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 3U);
    BOOST_TEST(counter.quality().uncertain == 1U);
    BOOST_TEST(counter.quality().missed_edges == 0U);
}

BOOST_AUTO_TEST_CASE(two_equal_active_edges_from_a_late_label_still_end_a_pulse)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.go(Level::active);
    line.wait(30ms);
    line.go(Level::active); // was a falling edge
    line.wait(30ms);
    line.run(30ms, 30ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 2U);
    BOOST_TEST(counter.quality().uncertain == 1U);
}

BOOST_AUTO_TEST_CASE(two_edges_noticed_as_one_are_no_pulse)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.go(Level::inactive); // up and down before the kernel looked
    line.wait(60ms);
    line.run(30ms, 30ms);
    line.go(Level::active);
    line.wait(10ms);
    line.go(Level::active); // down and up before the kernel looked
    line.wait(20ms);
    line.go(Level::inactive);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 2U);
    BOOST_TEST(counter.quality().uncertain == 2U);
}

BOOST_AUTO_TEST_CASE(a_gap_whose_parity_contradicts_the_levels_is_uncertain)
{
    PulseCounter counter = raw_counter();
    const std::vector<Edge> edges{
        {10ms, Level::active, 1}, {40ms, Level::inactive, 2}, {1s, Level::inactive, 5}};
    counter.add(edges);
    BOOST_TEST(counter.pulses() == 2U);
    BOOST_TEST(counter.quality().missed_edges == 2U);
    BOOST_TEST(counter.quality().uncertain == 2U);
}

BOOST_AUTO_TEST_CASE(quality_counts_stop_at_their_largest_value)
{
    PulseCounter counter(Detection::rising_only, Level::inactive, {});
    std::uint32_t seqno = 0;
    for (int i = 1; i <= 3; ++i) {
        seqno += (1U << 31U) - 1;
        const Edge edge{std::chrono::seconds(i), Level::active, seqno};
        counter.add({&edge, 1});
    }
    BOOST_TEST(counter.quality().missed_edges == std::numeric_limits<std::uint32_t>::max());
    BOOST_TEST(counter.pulses() == 3 * ((1ULL << 31U) - 1));
}

BOOST_AUTO_TEST_CASE(a_contradiction_is_read_as_the_fewer_pulses)
{
    PulseCounter counter = raw_counter();
    const std::vector<Edge> edges{{10ms, Level::active, 1}, {1s, Level::active, 4}};
    counter.add(edges);
    BOOST_TEST(counter.pulses() == 1U);
    BOOST_TEST(counter.quality().uncertain == 2U);
}

BOOST_AUTO_TEST_CASE(a_gap_or_a_restart_between_two_equal_edges_makes_them_separate)
{
    PulseCounter counter = raw_counter();
    const std::vector<Edge> edges{
        {10ms, Level::inactive, 1}, {1s, Level::inactive, 4}, {2s, Level::inactive, 5}};
    counter.add(edges);
    BOOST_TEST(counter.quality().uncertain == 1U + 2U + 1U);
    BOOST_TEST(counter.pulses() == 1U);
    counter.restart(Level::inactive);
    const Edge first{3s, Level::inactive, 1};
    counter.add({&first, 1});
    BOOST_TEST(counter.quality().uncertain == 5U);
    BOOST_TEST(counter.pulses() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
