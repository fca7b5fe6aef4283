#include "meter-pi/probe.hpp"

#include "meter-pi/power_estimate.hpp"

#include <algorithm>
#include <string_view>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;
using std::chrono::microseconds;
using std::chrono::nanoseconds;

constexpr std::uint64_t pulses_to_judge_by = 10;
constexpr nanoseconds lit_too_long = 3s; // no meter's LED flashes so long
constexpr std::size_t bar_width = 40;

void least(std::optional<nanoseconds>& known, nanoseconds value)
{
    known = known ? std::min(*known, value) : value;
}

void most(std::optional<nanoseconds>& known, nanoseconds value)
{
    known = known ? std::max(*known, value) : value;
}

// Whole microseconds, as the configuration has them.
nanoseconds whole(nanoseconds value)
{
    return std::chrono::floor<microseconds>(value);
}

std::string padded(std::string text, std::size_t width)
{
    return text.size() < width ? std::string(width - text.size(), ' ') + text : text;
}

std::string duration_text(microseconds duration)
{
    const auto count = duration.count();
    if (count < 1'000)
        return std::to_string(count) + " us";
    return count < 1'000'000 ? std::to_string(count / 1'000) + " ms"
                             : std::to_string(count / 1'000'000) + " s";
}

std::string seconds_text(nanoseconds duration)
{
    const auto tenths = duration / 100ms;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

std::string watts_text(const ProbeView& view)
{
    return view.power ? std::to_string((view.power->value + 500U) / 1'000U) + " W" : "unknown power";
}

std::string rate_text(const ProbeView& view)
{
    return view.pulses_per_hour ? std::to_string(*view.pulses_per_hour) + " pulses/h" : "unknown rate";
}

std::string_view level_text(Level level)
{
    return level == Level::active ? "active (lit)" : "inactive (dark)";
}

std::string quality_text(const Quality& quality)
{
    return std::to_string(quality.glitches) + " glitches, " + std::to_string(quality.missed_edges) +
           " edges missed, " + std::to_string(quality.uncertain) + " pulses uncertain";
}

std::string_view verdict_text(SignalVerdict verdict)
{
    switch (verdict) {
    case SignalVerdict::nothing_yet:
        return "no pulse yet: does the LED flash, does the sensor look at it?";
    case SignalVerdict::always_active:
        return "mostly lit: is \"active\" the wrong way round, is there other light?";
    case SignalVerdict::noisy:
        return "noisy: shade the sensor, turn its threshold, 0.1 uF from it to GND";
    case SignalVerdict::clean:
        break;
    }
    return "clean";
}

std::string filter_text(const PulseFilter& filter)
{
    return "min_width_us = " + std::to_string(filter.min_width / 1us) +
           ", min_spacing_us = " + std::to_string(filter.min_spacing / 1us);
}

std::string suggestion_text(const ProbeView& view)
{
    if (!view.suggestion)
        return "after ten pulses";
    const bool same = view.suggestion->min_width / 1us == view.filter.min_width / 1us &&
                      view.suggestion->min_spacing / 1us == view.filter.min_spacing / 1us;
    return same ? "as it is" : filter_text(*view.suggestion);
}

void add_histogram(std::vector<std::string>& lines, std::string title, const Histogram& histogram)
{
    lines.push_back(std::move(title));
    const std::uint64_t tallest = *std::max_element(histogram.counts.begin(), histogram.counts.end());
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
        const std::uint64_t count = histogram.counts[i];
        if (count == 0)
            continue;
        const bool last = i == Histogram::bounds.size();
        const std::string range =
            (last ? "from " : "below ") + padded(duration_text(Histogram::bounds[last ? i - 1 : i]), 6);
        // At least one mark for whatever was seen; no product overflows for counts that a line can reach.
        const std::size_t marks = std::max<std::size_t>(1, count * bar_width / tallest);
        lines.push_back("  " + padded(range, 13) + padded(std::to_string(count), 10) + "  " +
                        std::string(marks, '#'));
    }
    if (tallest == 0)
        lines.emplace_back("  none yet");
}

} // namespace

void Histogram::add(nanoseconds duration)
{
    const auto* const bound = std::upper_bound(bounds.begin(), bounds.end(), duration);
    ++counts[static_cast<std::size_t>(bound - bounds.begin())];
}

Probe::Probe(Detection detection, Level level_at_start, const PulseFilter& filter, MeterConstant constant,
             nanoseconds now)
    : filter_(filter),
      constant_(constant),
      counter_(detection, level_at_start, filter),
      start_(now),
      level_(level_at_start),
      changed_(now)
{
}

void Probe::add(std::span<const Edge> edges)
{
    counter_.add(edges);
    for (const Edge& edge : edges)
        see(edge);
}

// A run is measured only between two edges that follow each other and differ.
void Probe::see(const Edge& edge)
{
    const bool in_order = edge.seqno == next_seqno_;
    const bool follows = in_order && edge.level != level_;
    next_seqno_ = edge.seqno + 1;
    const Time length = edge.time - changed_;
    if (level_ == Level::active)
        active_time_ += length;
    if (whole_ && follows && level_ == Level::active) {
        widths_.add(length);
        longest_run_ = std::max(longest_run_, length);
    } else if (whole_ && follows) {
        pauses_.add(length);
        if (length < filter_.min_spacing) {
            most(longest_bounce_, length);
        } else {
            least(shortest_pause_, length);
            end_burst();
        }
    } else {
        longest_run_ = {};
    }
    whole_ = follows || !in_order; // two equal ones in a row: the label of one is wrong
    level_ = edge.level;
    changed_ = edge.time;
}

void Probe::end_burst()
{
    if (longest_run_ >= filter_.min_width && longest_run_ > Time::zero()) {
        ++bursts_;
        least(narrowest_pulse_, longest_run_);
    } else if (longest_run_ > Time::zero()) {
        most(widest_glitch_, longest_run_);
    }
    longest_run_ = {};
}

SignalVerdict Probe::verdict(Time now) const
{
    const Time run = now - changed_;
    const Time active = active_time_ + (level_ == Level::active ? run : Time::zero());
    const std::uint64_t pulses = counter_.pulses();
    const Quality& quality = counter_.quality();
    const bool mostly_active = pulses >= pulses_to_judge_by && active > (now - start_) / 2;
    if ((level_ == Level::active && run > lit_too_long) || mostly_active)
        return SignalVerdict::always_active;
    const std::uint64_t doubts = std::uint64_t{quality.glitches} + quality.missed_edges + quality.uncertain;
    if (doubts > 3 && doubts * 50 > pulses)
        return SignalVerdict::noisy;
    return pulses == 0 ? SignalVerdict::nothing_yet : SignalVerdict::clean;
}

// The width: half of the narrowest pulse, or midway between it and the widest glitch if that is wider. The spacing:
// as it is, unless bounce comes near to it; and midway between the longest bounce and the shortest pause where that
// pause is short.
std::optional<PulseFilter> Probe::suggestion() const
{
    if (bursts_ < pulses_to_judge_by || !narrowest_pulse_ || !shortest_pause_)
        return std::nullopt;
    PulseFilter better;
    better.min_width = *narrowest_pulse_ / 2;
    if (widest_glitch_ && *widest_glitch_ >= better.min_width)
        better.min_width = (*widest_glitch_ + *narrowest_pulse_) / 2;
    const Time bounce = longest_bounce_.value_or(Time::zero());
    better.min_spacing = std::max(filter_.min_spacing, bounce * 3 / 2);
    if (better.min_spacing > *shortest_pause_ / 2)
        better.min_spacing = (bounce + *shortest_pause_) / 2;
    return PulseFilter{whole(better.min_width), whole(better.min_spacing)};
}

ProbeView Probe::view(Time now) const
{
    ProbeView view;
    view.elapsed = now - start_;
    view.level = level_;
    view.pulses = counter_.pulses();
    view.power = estimate_power(constant_, counter_.last_pulse(), counter_.last_spacing(), now);
    if (view.power)
        view.pulses_per_hour = std::uint64_t{view.power->value} * constant_.imp_per_kwh / 1'000'000U;
    view.quality = counter_.quality();
    view.widths = widths_;
    view.pauses = pauses_;
    view.verdict = verdict(now);
    view.filter = filter_;
    view.suggestion = suggestion();
    return view;
}

std::vector<std::string> probe_lines(const ProbeView& view)
{
    std::vector<std::string> lines{
        "time       " + seconds_text(view.elapsed),
        "level      " + std::string(level_text(view.level)),
        "pulses     " + std::to_string(view.pulses) + ", " + rate_text(view) + ", " + watts_text(view),
        "quality    " + quality_text(view.quality),
        "signal     " + std::string(verdict_text(view.verdict)),
        "filter     " + filter_text(view.filter),
        "suggested  " + suggestion_text(view),
    };
    add_histogram(lines, "flashes (how long the line is active)", view.widths);
    add_histogram(lines, "pauses (how long it is inactive between them)", view.pauses);
    return lines;
}

std::vector<std::string> fitted(std::vector<std::string> lines, ScreenSize screen)
{
    lines.resize(std::min(lines.size(), std::max<std::size_t>(screen.rows, 2) - 1));
    for (std::string& line : lines)
        line.resize(std::min(line.size(), screen.columns));
    return lines;
}

std::string probe_line(const ProbeView& view)
{
    return seconds_text(view.elapsed) + "  " + std::string(level_text(view.level)) + "  " +
           std::to_string(view.pulses) + " pulses, " + rate_text(view) + ", " + watts_text(view) + "; " +
           quality_text(view.quality);
}

} // namespace pulsemeter
