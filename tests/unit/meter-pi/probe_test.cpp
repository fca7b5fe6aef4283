// The live view for aligning a sensor: what it says of clean, bouncing, noisy and inverted signals.
#include "meter-pi/probe.hpp"
#include "meter-pi/replay_edge_source.hpp"
#include "tests/unit/meter-pi/signal.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <numeric>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;

namespace {

constexpr MeterConstant constant{1000};

ProbeView view_of(Line& line, Level at_start = Level::inactive)
{
    Probe probe(Detection::both_edges, at_start, s0_filter, constant, 0ns);
    probe.add(line.edges());
    return probe.view(line.now());
}

std::uint64_t sum(const Histogram& histogram)
{
    return std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::uint64_t{0});
}

bool says(const ProbeView& view, std::string_view words)
{
    const auto lines = probe_lines(view);
    return std::any_of(lines.begin(), lines.end(),
                       [&](const std::string& line) { return line.find(words) != std::string::npos; });
}

} // namespace

BOOST_AUTO_TEST_SUITE(probe)

BOOST_AUTO_TEST_CASE(a_clean_led_is_shown_with_rate_watts_and_a_filter)
{
    Line line;
    line.wait(5s);
    for (int i = 0; i < 20; ++i)
        line.run(20ms, 1'780ms); // 2 kW
    const ProbeView view = view_of(line);
    BOOST_TEST(view.pulses == 20U);
    BOOST_TEST(view.power.value().value == 2'000'000U);
    BOOST_TEST(view.pulses_per_hour.value() == 2'000U);
    BOOST_TEST((view.verdict == SignalVerdict::clean));
    BOOST_TEST((view.level == Level::inactive));
    BOOST_TEST(view.widths.counts[5] == 20U); // 10 to 30 ms
    BOOST_TEST(sum(view.widths) == 20U);
    BOOST_TEST(view.pauses.counts[9] == 19U); // 1 to 3 s; the first and the last are not whole
    BOOST_TEST(sum(view.pauses) == 19U);
    BOOST_TEST((view.suggestion.value().min_width == 10ms));
    BOOST_TEST((view.suggestion->min_spacing == s0_filter.min_spacing));
    BOOST_TEST(says(view, "20 pulses/h, 2000 W") == false);
    BOOST_TEST(says(view, "20, 2000 pulses/h, 2000 W"));
    BOOST_TEST(says(view, "clean"));
    BOOST_TEST(says(view, "below  30 ms"));
    BOOST_TEST(probe_line(view).find("20 pulses, 2000 pulses/h, 2000 W; 0 glitches") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(bounce_is_no_narrow_pulse_and_the_suggestion_keeps_clear_of_it)
{
    std::mt19937_64 random(1);
    Line line;
    for (int i = 0; i < 200; ++i)
        bouncing_pulse(line, random);
    const ProbeView view = view_of(line);
    BOOST_REQUIRE(view.suggestion.has_value());
    BOOST_TEST((view.suggestion->min_width > 9ms));
    BOOST_TEST((view.suggestion->min_width < 16ms));
    BOOST_TEST((view.suggestion->min_spacing >= s0_filter.min_spacing));
    BOOST_TEST((view.suggestion->min_spacing < 15ms)); // contacts rest for 25 ms at least

    PulseCounter counter = raw_counter(*view.suggestion);
    counter.add(line.edges());
    line.wait(1s);
    BOOST_TEST(counter.pulses() == 200U);
}

BOOST_AUTO_TEST_CASE(glitches_are_told_and_the_suggestion_is_above_them)
{
    Line line;
    for (int i = 0; i < 20; ++i) {
        line.run(3ms, 500ms);
        line.run(800us, 500ms);
    }
    const ProbeView view = view_of(line);
    BOOST_TEST(view.pulses == 20U);
    BOOST_TEST(view.quality.glitches == 19U);
    BOOST_TEST((view.verdict == SignalVerdict::noisy));
    BOOST_TEST((view.suggestion.value().min_width == 1500us));

    Line wide;
    for (int i = 0; i < 20; ++i) {
        wide.run(1'200us, 500ms);
        wide.run(900us, 500ms);
    }
    BOOST_TEST((view_of(wide).suggestion.value().min_width == 1'050us));
}

BOOST_AUTO_TEST_CASE(an_inverted_or_blinded_sensor_is_told)
{
    Line inverted;
    for (int i = 0; i < 20; ++i)
        inverted.run(900ms, 20ms);
    BOOST_TEST((view_of(inverted).verdict == SignalVerdict::always_active));
    BOOST_TEST(says(view_of(inverted), "wrong way round"));

    Line blinded;
    blinded.wait(4s);
    const ProbeView view = view_of(blinded, Level::active);
    BOOST_TEST((view.verdict == SignalVerdict::always_active));
    BOOST_TEST(says(view, "active (lit)"));
}

BOOST_AUTO_TEST_CASE(silence_says_what_to_look_at)
{
    Line line;
    line.wait(2s);
    const ProbeView view = view_of(line);
    BOOST_TEST((view.verdict == SignalVerdict::nothing_yet));
    BOOST_TEST(!view.suggestion.has_value());
    BOOST_TEST(says(view, "no pulse yet"));
    BOOST_TEST(says(view, "none yet"));
    BOOST_TEST(says(view, "unknown power"));
}

BOOST_AUTO_TEST_CASE(what_the_kernel_dropped_is_not_measured)
{
    Line line;
    line.run(20ms, 1s);
    Line late(7);
    late.wait(3s);
    late.run(20ms, 1s);
    Probe probe(Detection::both_edges, Level::inactive, s0_filter, constant, 0ns);
    probe.add(line.edges());
    probe.add(late.edges());
    const ProbeView view = probe.view(late.now());
    BOOST_TEST(view.quality.missed_edges == 4U);
    BOOST_TEST(sum(view.pauses) == 0U);
    BOOST_TEST(sum(view.widths) == 2U);
    BOOST_TEST(view.pulses == 4U);
}

BOOST_AUTO_TEST_CASE(no_line_is_wider_than_a_terminal)
{
    Line line;
    for (int i = 0; i < 5'000; ++i)
        line.run(20ms, 100ms);
    ProbeView view = view_of(line);
    for (const SignalVerdict verdict : {SignalVerdict::nothing_yet, SignalVerdict::always_active,
                                        SignalVerdict::noisy, SignalVerdict::clean}) {
        view.verdict = verdict;
        for (const std::string& text : probe_lines(view))
            BOOST_TEST(text.size() <= 80U, text);
    }
}

BOOST_AUTO_TEST_CASE(what_is_drawn_fits_the_terminal)
{
    Line line;
    for (auto width = 50us; width < 20s; width *= 3) // one of each range
        line.run(width, width);
    const auto lines = probe_lines(view_of(line));
    BOOST_TEST(lines.size() > 24U);
    BOOST_TEST(fitted(lines, {80, 50}) == lines, boost::test_tools::per_element());
    const auto small = fitted(lines, {20, 10});
    BOOST_TEST(small.size() == 9U);
    for (std::size_t i = 0; i < small.size(); ++i)
        BOOST_TEST(small[i] == lines[i].substr(0, 20));
    BOOST_TEST(fitted(lines, {1, 1}).size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
