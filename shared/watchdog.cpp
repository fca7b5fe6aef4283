#include "shared/watchdog.hpp"

namespace pulsemeter {

void Watchdog::turned(SteadyTime now, std::uint64_t other_turns)
{
    const auto limit = manager_.watchdog_limit();
    if (!limit)
        return;
    const auto pause = *limit / 4; // one late turn of either thread is no harm yet
    const bool due = fed_ == SteadyTime::min() || now - fed_ >= pause;
    if (due && other_turns != fed_at_turns_) {
        manager_.alive();
        fed_ = now;
        fed_at_turns_ = other_turns;
    }
    next_ = std::chrono::time_point_cast<SteadyTime::duration>(now + pause);
}

} // namespace pulsemeter
