#include "meter-pi/pulse_counter.hpp"
#include "tests/unit/meter-pi/signal.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;

namespace {

// Ten million pulses in batches, without keeping them.
std::uint64_t count_many(const PulseFilter& filter, std::chrono::nanoseconds active,
                         std::chrono::nanoseconds inactive, std::uint64_t pulses)
{
    constexpr std::uint64_t batch = 500;
    PulseCounter counter = raw_counter(filter);
    Line line;
    for (std::uint64_t sent = 0; sent < pulses; sent += batch) {
        for (std::uint64_t i = 0; i < batch; ++i)
            line.run(active, inactive);
        counter.add(line.take());
    }
    BOOST_TEST((counter.quality() == Quality{}), "a clean signal leaves no trace in the quality");
    return counter.pulses();
}

} // namespace

BOOST_AUTO_TEST_SUITE(pulse_counter)

BOOST_AUTO_TEST_CASE(C1_no_pulse_is_lost_at_30_30_ms)
{
    BOOST_TEST(count_many(s0_filter, 30ms, 30ms, 10'000'000) == 10'000'000U);
}

BOOST_AUTO_TEST_CASE(C1_no_pulse_is_lost_at_120_Hz)
{
    BOOST_TEST(count_many(fast_filter, 2ms, 6'333us, 10'000'000) == 10'000'000U);
}

BOOST_AUTO_TEST_CASE(C1_120_Hz_with_longer_flashes)
{
    for (const auto flash : {2ms, 3ms, 4ms, 5ms, 6ms})
        BOOST_TEST(count_many(fast_filter, flash, 8'333us - flash, 1000) == 1000U);
}

BOOST_AUTO_TEST_CASE(C1_the_default_filter_passes_30_30_ms_for_every_constant_and_load)
{
    for (const std::uint32_t constant : {1U, 500U, 800U, 1000U, 2000U, 3200U, 10'000U, 1'000'000U})
        for (const std::uint32_t max_kw : {1U, 5U, 16U, 43U, 1000U, 10'000U})
            BOOST_TEST(count_many(default_filter(MeterConstant{constant}, max_kw), 30ms, 30ms, 500) == 500U,
                       constant << " imp/kWh, " << max_kw << " kW");
}

BOOST_AUTO_TEST_CASE(C1_the_default_filter_passes_the_largest_load_at_half_duty)
{
    for (const std::uint32_t constant : {500U, 2000U, 10'000U, 1'000'000U})
        for (const std::uint32_t max_kw : {1U, 43U, 10'000U}) {
            const std::chrono::nanoseconds half(1'800'000'000'000 / (std::uint64_t{constant} * max_kw));
            BOOST_TEST(count_many(default_filter(MeterConstant{constant}, max_kw), half, half, 500) == 500U,
                       constant << " imp/kWh, " << max_kw << " kW");
        }
}

BOOST_AUTO_TEST_CASE(default_filter_has_room_below_2_ms_flashes_and_above_5_ms_bounce)
{
    for (const std::uint32_t constant : {500U, 800U, 1000U, 2000U, 10'000U})
        BOOST_TEST(default_filter(MeterConstant{constant}, 43).min_width.count() <= 1'100'000);
    // Wherever 30/30 ms is the fastest that can be, bounce must be bridged.
    for (std::uint32_t rate_per_hour = 1; rate_per_hour <= 60'000; rate_per_hour += 7) {
        const auto spacing = default_filter(MeterConstant{rate_per_hour}, 1).min_spacing;
        BOOST_REQUIRE(spacing >= 5ms);
        BOOST_REQUIRE(spacing < 25ms);
    }
}

BOOST_AUTO_TEST_CASE(C3_bounce_under_5_ms_is_one_pulse)
{
    std::mt19937_64 random(1);
    for (const std::uint32_t constant : {500U, 800U, 1000U, 2000U}) {
        const PulseFilter filter = default_filter(MeterConstant{constant}, 43);
        for (int trace = 0; trace < 25'000; ++trace) {
            PulseCounter counter = raw_counter(filter);
            Line line;
            const std::uint64_t pulses = 1 + random() % 8;
            for (std::uint64_t i = 0; i < pulses; ++i)
                bouncing_pulse(line, random);
            counter.add(line.edges());
            BOOST_REQUIRE_EQUAL(counter.pulses(), pulses);
            BOOST_REQUIRE_EQUAL(counter.quality().glitches, 0U);
            BOOST_REQUIRE_EQUAL(counter.quality().uncertain, 0U);
        }
    }
}

BOOST_AUTO_TEST_CASE(C3_bounce_that_starts_with_a_run_of_its_own)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(2ms, 2'900us); // long enough to be a pulse, but the contact is only settling
    line.run(25ms, 2ms);
    line.run(2'900us, 30ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 1U);
    BOOST_TEST((counter.last_pulse() == 1ns));
}

BOOST_AUTO_TEST_CASE(C3_pulses_30_ms_apart_never_merge)
{
    PulseCounter counter = raw_counter();
    Line line;
    for (int i = 0; i < 1000; ++i)
        line.run(30ms, 30ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 1000U);
}

BOOST_AUTO_TEST_CASE(a_pulse_counts_when_it_ends_not_when_the_next_begins)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.go(Level::active);
    counter.add(line.take());
    BOOST_TEST(counter.pulses() == 0U);
    line.wait(30ms);
    line.go(Level::inactive);
    counter.add(line.take());
    BOOST_TEST(counter.pulses() == 1U);
}

BOOST_AUTO_TEST_CASE(width_and_spacing_are_inclusive)
{
    const PulseFilter filter{.min_width = 1ms, .min_spacing = 8ms};
    PulseCounter counter = raw_counter(filter);
    Line line;
    line.run(1ms, 8ms);
    line.run(1ms, 8ms - 1ns); // far enough from the one before, too near to the next
    line.run(1ms, 8ms);
    line.run(1ms - 1ns, 8ms);
    line.run(1ms, 8ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 3U);
    BOOST_TEST(counter.quality().glitches == 1U);
}

BOOST_AUTO_TEST_CASE(a_line_active_at_start_makes_no_pulse_until_it_was_inactive)
{
    PulseCounter counter = raw_counter(s0_filter, Level::active);
    Line line;
    line.wait(20ms);
    line.go(Level::inactive);
    line.wait(2ms);
    line.run(2ms, 100ms); // its contact bounces at the release
    counter.add(line.take());
    BOOST_TEST(counter.pulses() == 0U);
    line.run(30ms, 30ms);
    counter.add(line.take());
    BOOST_TEST(counter.pulses() == 1U);
}

BOOST_AUTO_TEST_CASE(glitches_are_not_pulses_and_are_counted_once_a_burst)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(100us, 500ms);
    for (int i = 0; i < 300; ++i) // a burst of noise
        line.run(20us, 40us);
    line.wait(500ms);
    line.run(30ms, 500ms);
    counter.add(line.edges());
    BOOST_TEST(counter.pulses() == 1U);
    BOOST_TEST(counter.quality().glitches == 2U);
    BOOST_TEST(counter.quality().uncertain == 0U);
}

BOOST_AUTO_TEST_CASE(power_sees_the_starts_of_pulses_and_nothing_across_a_gap)
{
    PulseCounter counter = raw_counter();
    BOOST_TEST(!counter.last_pulse());
    const std::vector<Edge> edges{{1s, Level::active, 1},     {1030ms, Level::inactive, 2},
                                  {1500ms, Level::active, 3}, {1500100us, Level::inactive, 4}, // a glitch
                                  {3s, Level::active, 5},     {3030ms, Level::inactive, 6},
                                  {9s, Level::active, 9},     {9030ms, Level::inactive, 10},
                                  {10s, Level::active, 11},   {10030ms, Level::inactive, 12}};
    auto feed = [&, next = std::size_t{0}](std::size_t count) mutable {
        counter.add(std::span(edges).subspan(next, count));
        next += count;
    };
    feed(2);
    BOOST_TEST((counter.last_pulse() == 1s));
    BOOST_TEST(!counter.last_spacing());
    feed(4);
    BOOST_TEST((counter.last_pulse() == 3s));
    BOOST_TEST((counter.last_spacing() == 2s));
    feed(1);
    BOOST_TEST(!counter.last_pulse());
    BOOST_TEST(!counter.last_spacing());
    feed(1);
    BOOST_TEST((counter.last_pulse() == 9s));
    BOOST_TEST(!counter.last_spacing());
    feed(2);
    BOOST_TEST((counter.last_spacing() == 1s));
}

BOOST_AUTO_TEST_CASE(a_restart_keeps_the_counts_and_starts_the_seqno_over)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(30ms, 30ms);
    line.run(100us, 30ms);
    counter.add(line.edges());
    counter.restart(Level::active);
    BOOST_TEST(counter.pulses() == 1U);
    BOOST_TEST(counter.quality().glitches == 1U);
    BOOST_TEST(!counter.last_pulse());

    Line again;
    again.wait(10s);
    again.go(Level::inactive);
    again.wait(30ms);
    again.run(30ms, 30ms);
    counter.add(again.edges());
    BOOST_TEST(counter.pulses() == 2U);
    BOOST_TEST(counter.quality().missed_edges == 0U);
    BOOST_TEST(counter.quality().uncertain == 0U);
    BOOST_TEST(!counter.last_spacing());
}

BOOST_AUTO_TEST_CASE(a_pulse_starts_with_its_first_contact)
{
    PulseCounter counter = raw_counter();
    Line line;
    line.run(100us, 2ms);
    line.run(28ms, 30ms);
    counter.add(line.edges());
    BOOST_TEST((counter.last_pulse() == 1ns));
}

BOOST_AUTO_TEST_SUITE_END()
