// Pure: what a person who aligns a sensor wants to know, from the line's raw edges: level, pulses, rate, watts, how
// long the flashes and the pauses are, glitches, whether the signal is good, and a filter that suits it. Counts with
// PulseCounter and the configured filter, so that it shows what `run` would count. Memory is bounded.
#pragma once

#include "meter-pi/pulse_counter.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pulsemeter {

// How many durations lay in each of the ranges that `bounds` parts: below the first, …, from the last one on.
struct Histogram {
    static constexpr std::array<std::chrono::microseconds, 11> bounds{
        std::chrono::microseconds(100),       std::chrono::microseconds(300),
        std::chrono::microseconds(1'000),     std::chrono::microseconds(3'000),
        std::chrono::microseconds(10'000),    std::chrono::microseconds(30'000),
        std::chrono::microseconds(100'000),   std::chrono::microseconds(300'000),
        std::chrono::microseconds(1'000'000), std::chrono::microseconds(3'000'000),
        std::chrono::microseconds(10'000'000)};
    std::array<std::uint64_t, bounds.size() + 1> counts{};
    void add(std::chrono::nanoseconds duration);
};

enum class SignalVerdict : std::uint8_t {
    nothing_yet,   // no pulse
    always_active, // lit for long, or for the most part
    noisy,         // many glitches or lost edges
    clean,
};

struct ProbeView {
    std::chrono::nanoseconds elapsed{};
    Level level = Level::inactive;
    std::uint64_t pulses = 0;
    std::optional<std::uint64_t> pulses_per_hour; // from the newest spacing
    std::optional<Milliwatts> power;
    Quality quality;
    Histogram widths; // active runs, bounce and glitches too
    Histogram pauses; // between them
    SignalVerdict verdict = SignalVerdict::nothing_yet;
    PulseFilter filter;                    // in use
    std::optional<PulseFilter> suggestion; // after ten pulses; equal to `filter` where that is good
};

class Probe {
public:
    // `now` is on the edges' clock.
    Probe(Detection detection, Level level_at_start, const PulseFilter& filter, MeterConstant constant,
          std::chrono::nanoseconds now);
    void add(std::span<const Edge> edges);
    [[nodiscard]] ProbeView view(std::chrono::nanoseconds now) const;

private:
    using Time = std::chrono::nanoseconds;
    void see(const Edge& edge);
    void end_burst();
    [[nodiscard]] SignalVerdict verdict(Time now) const;
    [[nodiscard]] std::optional<PulseFilter> suggestion() const;

    PulseFilter filter_;
    MeterConstant constant_;
    PulseCounter counter_;
    Time start_;
    Histogram widths_;
    Histogram pauses_;

    Level level_;
    Time changed_;       // when the level became so, or when it was first seen
    bool whole_ = false; // the run that goes on was seen from its start
    std::uint32_t next_seqno_ = 1;
    Time active_time_{};                  // all of it, but for the run that goes on
    Time longest_run_{};                  // of the burst that goes on
    std::uint64_t bursts_ = 0;            // that were pulses
    std::optional<Time> narrowest_pulse_; // longest run of such a burst
    std::optional<Time> widest_glitch_;
    std::optional<Time> longest_bounce_; // pause within a burst
    std::optional<Time> shortest_pause_; // between bursts
};

// For a terminal that is drawn anew, or at the end: 80 columns at most.
[[nodiscard]] std::vector<std::string> probe_lines(const ProbeView& view);
struct ScreenSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
};
// What can be drawn over: no line of ASCII that wraps, and a row is left for the cursor.
[[nodiscard]] std::vector<std::string> fitted(std::vector<std::string> lines, ScreenSize screen);
// One line, where there is no terminal.
[[nodiscard]] std::string probe_line(const ProbeView& view);

} // namespace pulsemeter
