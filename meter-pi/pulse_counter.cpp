#include "meter-pi/pulse_counter.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <limits>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t nanosecond_kilowatts_per_kwh = 3'600'000'000'000;
constexpr std::uint32_t runs_remembered = 1U << 16U;

void add_saturated(std::uint32_t& count, std::uint64_t more)
{
    const std::uint64_t room = std::numeric_limits<std::uint32_t>::max() - count;
    count += static_cast<std::uint32_t>(std::min(more, room));
}

// The ends of active runs among `edges` alternating ones, the first of which leaves `before`.
std::uint64_t run_ends(std::uint64_t edges, Level before)
{
    return (edges + (before == Level::active ? 1 : 0)) / 2;
}

} // namespace

PulseFilter default_filter(MeterConstant constant, std::uint32_t max_kw)
{
    ENSURE(constant.imp_per_kwh > 0 && max_kw > 0, "a meter makes pulses");
    const std::uint64_t pulses_per_hour = std::uint64_t{constant.imp_per_kwh} * max_kw;
    const std::chrono::nanoseconds period(nanosecond_kilowatts_per_kwh / pulses_per_hour);
    return {.min_width = std::min<std::chrono::nanoseconds>(period / 8, 1ms),
            .min_spacing = std::min<std::chrono::nanoseconds>(period / 4, 8ms)};
}

PulseCounter::PulseCounter(Detection detection, Level level_at_start, const PulseFilter& filter)
    : detection_(detection), filter_(filter)
{
    restart(level_at_start);
}

void PulseCounter::restart(Level level_at_start)
{
    end_burst();
    last_pulse_.reset();
    last_spacing_.reset();
    level_ = level_at_start;
    next_seqno_ = 1;
    last_edge_.reset();
    run_start_.reset();
    run_end_.reset();
    burst_ = level_ == Level::active ? Burst::settled : Burst::nothing_yet;
    last_was_equal_ = false;
}

void PulseCounter::add(std::span<const Edge> edges)
{
    for (const Edge& edge : edges) {
        if (detection_ == Detection::rising_only) {
            add_rising(edge);
        } else {
            add_raw(edge);
        }
    }
}

void PulseCounter::add_rising(const Edge& edge)
{
    const std::uint32_t lost = lost_before(edge.seqno);
    if (lost > 0)
        last_pulse_.reset();
    pulses_ += lost;
    see_pulse(edge.time);
}

void PulseCounter::add_raw(const Edge& edge)
{
    const std::uint32_t lost = lost_before(edge.seqno);
    if (lost > 0) {
        heal(lost, edge);
    } else if (edge.level == level_) {
        take_equal(edge.time);
    } else {
        last_was_equal_ = false;
        level_ = edge.level;
        if (level_ == Level::active) {
            begin_run(edge.time);
        } else {
            end_run(edge.time);
        }
    }
    last_edge_ = edge.time;
}

std::uint32_t PulseCounter::lost_before(std::uint32_t seqno)
{
    const std::uint32_t lost = seqno - next_seqno_;
    next_seqno_ = seqno + 1;
    // Half of all numbers ahead is a step back: no kernel does that, and four thousand million pulses out of
    // nothing would be the worse mistake.
    if (lost >= 1U << 31U) {
        noisy_ = true;
        add_saturated(quality_.uncertain, 1);
        return 0;
    }
    add_saturated(quality_.missed_edges, lost);
    return lost;
}

void PulseCounter::begin_run(Time time)
{
    if (run_end_ && time - *run_end_ < filter_.min_spacing) {
        noisy_ = true;
    } else {
        end_burst();
        burst_start_ = time;
    }
    run_start_ = time;
}

void PulseCounter::end_run(Time time)
{
    run_end_ = time;
    if (!run_start_)
        return;
    const Time width = time - *run_start_;
    run_start_.reset();
    if (++runs_seen_ == runs_remembered) {
        runs_seen_ /= 2;
        runs_counted_ /= 2;
    }
    if (width < filter_.min_width)
        noisy_ = true;
    if (burst_ == Burst::settled)
        return;
    if (width < filter_.min_width) {
        burst_ = Burst::too_short;
        return;
    }
    burst_ = Burst::settled;
    ++runs_counted_;
    see_pulse(burst_start_);
}

void PulseCounter::end_burst()
{
    if (burst_ == Burst::too_short)
        add_saturated(quality_.glitches, 1);
    burst_ = Burst::nothing_yet;
}

void PulseCounter::see_pulse(Time start)
{
    ++pulses_;
    last_spacing_.reset();
    if (last_pulse_)
        last_spacing_ = start - *last_pulse_;
    last_pulse_ = start;
}

void PulseCounter::heal(std::uint32_t lost, const Edge& edge)
{
    end_burst();
    const std::uint64_t edges = std::uint64_t{lost} + 1;
    const Level before_if_alternating =
        (edges % 2 == 0) == (edge.level == Level::active) ? Level::active : Level::inactive;
    const bool mislabelled = before_if_alternating != level_;
    noisy_ = noisy_ || mislabelled;

    std::uint64_t runs = std::min(run_ends(edges, level_), run_ends(edges, before_if_alternating));
    const bool active_since_start = level_ == Level::active && !run_start_;
    if (active_since_start && runs > 0)
        --runs;
    const std::uint64_t healed = likely_pulses(runs, edge.time);
    pulses_ += healed;
    if (noisy_ || healed < runs)
        add_saturated(quality_.uncertain, healed + (mislabelled ? 1 : 0));

    last_pulse_.reset();
    last_spacing_.reset();
    last_was_equal_ = false;
    level_ = edge.level;
    if (level_ == Level::active) {
        run_end_.reset();
        run_start_ = burst_start_ = edge.time;
    } else {
        run_start_.reset();
        run_end_ = edge.time;
        burst_ = Burst::settled;
    }
}

std::uint64_t PulseCounter::likely_pulses(std::uint64_t runs, Time time) const
{
    std::uint64_t likely = runs;
    if (noisy_ && runs_seen_ > 0)
        likely = (runs * runs_counted_ + runs_seen_ / 2) / runs_seen_;
    const Time shortest = filter_.min_width + filter_.min_spacing;
    if (last_edge_ && time >= *last_edge_ && shortest > Time::zero())
        likely = std::min(likely, static_cast<std::uint64_t>((time - *last_edge_) / shortest) + 1);
    return likely;
}

// The label is the level that the kernel read a moment after the edge. So the first of two equal edges may
// really be the opposite one, read too late, if the second follows with the same label; or two edges noticed
// as one, if the next label is the opposite.
void PulseCounter::take_equal(Time time)
{
    if (last_was_equal_) {
        last_was_equal_ = false;
        if (level_ == Level::active) {
            begin_run(time);
        } else {
            end_run(time);
        }
        return;
    }
    last_was_equal_ = true;
    noisy_ = true;
    add_saturated(quality_.uncertain, 1);
    if (level_ == Level::active)
        end_run(time);
    begin_run(time);
}

} // namespace pulsemeter
