// When a service manager's watchdog is fed: only when the loop has completed a turn and, on the meter, the edge thread
// has completed one as well since the last feed. Edges, network and outbox have no say: a quiet night and an outage
// are no reasons to restart, a thread that stands still is. One thread.
#pragma once

#include "shared/service_manager.hpp"

#include <chrono>
#include <cstdint>

namespace pulsemeter {

class Watchdog {
public:
    using SteadyTime = std::chrono::steady_clock::time_point;

    explicit Watchdog(ServiceManager& manager) : manager_(manager) {}

    // The loop has completed a turn. `other_turns`: how many the other thread has completed so far.
    void turned(SteadyTime now, std::uint64_t other_turns);
    void turned(SteadyTime now) { turned(now, fed_at_turns_ + 1); } // there is no other thread

    [[nodiscard]] SteadyTime next_deadline() const { return next_; } // the loop's next turn is due by then

private:
    ServiceManager& manager_;
    std::uint64_t fed_at_turns_ = 0;
    SteadyTime fed_ = SteadyTime::min();
    SteadyTime next_ = SteadyTime::max();
};

} // namespace pulsemeter
