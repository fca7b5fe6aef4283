// Pure: edges in, pulses out. Rejects glitches and bounce, heals what the kernel dropped, and says how sure
// it is.
//
// The filter (both_edges). Active runs less than `min_spacing` apart are one burst (bounce); a burst is one
// pulse if any run in it lasted `min_width`, else it is one glitch. A pulse is counted at the end of its
// first run of that length; a glitch when the next burst begins, for only then its own is over. A line
// already active at start makes no pulse until it has been inactive. A jump in seqno: the falling ones among
// the m lost edges and the one after are the ends of pulses. All of them are pulses if the signal was clean;
// if glitches or bounce were seen, as large a share of them as of the runs seen, and never more than the
// filter lets through in that time; these are reported as uncertain. Two equal edges in a row without a jump:
// an edge was labelled late or not noticed; each is reported as uncertain. rising_only: every seqno is a
// pulse, lost or seen.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "shared/reading.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

namespace pulsemeter {

struct PulseFilter {
    std::chrono::nanoseconds min_width{};
    std::chrono::nanoseconds min_spacing{}; // inactive time that ends a burst
};

// From the shortest period that the largest load makes: an eighth of it for the width, at most 1 ms (LEDs may
// flash for 2 ms), and a quarter for the spacing, at most 8 ms (S0 contacts bounce for less than 5 ms and
// rest for 30). imp_per_kwh and max_kw (1 … 10,000) are not 0.
[[nodiscard]] PulseFilter default_filter(MeterConstant constant, std::uint32_t max_kw);

class PulseCounter {
public:
    PulseCounter(Detection detection, Level level_at_start, const PulseFilter& filter);

    // Edges in the order of their time. How they are split into calls makes no difference.
    void add(std::span<const Edge> edges);

    // The line was lost and taken again: its seqno starts over, its level was read anew. Counts are kept.
    void restart(Level level_at_start);

    [[nodiscard]] std::uint64_t pulses() const { return pulses_; }    // since construction
    [[nodiscard]] const Quality& quality() const { return quality_; } // since construction
    // For power: the start of the newest pulse that was really seen, and the spacing to the one before.
    // Neither reaches across a gap or a restart.
    [[nodiscard]] std::optional<std::chrono::nanoseconds> last_pulse() const { return last_pulse_; }
    [[nodiscard]] std::optional<std::chrono::nanoseconds> last_spacing() const { return last_spacing_; }

private:
    using Time = std::chrono::nanoseconds;
    enum class Burst { nothing_yet, too_short, settled }; // settled: nothing more to be counted in it

    void add_rising(const Edge& edge);
    void add_raw(const Edge& edge);
    void begin_run(Time time);
    void end_run(Time time);
    void end_burst();
    void heal(std::uint32_t lost, const Edge& edge);
    void take_equal(Time time);
    void see_pulse(Time start);
    [[nodiscard]] std::uint32_t lost_before(std::uint32_t seqno);
    [[nodiscard]] std::uint64_t likely_pulses(std::uint64_t runs, Time time) const;

    Detection detection_;
    PulseFilter filter_;

    std::uint64_t pulses_ = 0;
    Quality quality_;
    std::optional<Time> last_pulse_;
    std::optional<Time> last_spacing_;

    Level level_ = Level::inactive;
    std::uint32_t next_seqno_ = 1;
    std::optional<Time> last_edge_;
    std::optional<Time> run_start_; // unset while active: active since the start
    std::optional<Time> run_end_;
    Time burst_start_{};
    Burst burst_ = Burst::nothing_yet;
    bool last_was_equal_ = false;

    bool noisy_ = false;             // glitches, bounce or wrong labels were seen
    std::uint32_t runs_seen_ = 0;    // of late, …
    std::uint32_t runs_counted_ = 0; // … and those of them that were pulses
};

} // namespace pulsemeter
