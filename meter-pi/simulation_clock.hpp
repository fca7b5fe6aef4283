// A monotonic clock that runs `speed` times as fast as the real one from its construction on, and waits on
// it. The real clock and the real sleep are replaced in tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>

namespace pulsemeter {

struct RealTime {
    std::function<std::chrono::nanoseconds()> now;
    std::function<void(std::chrono::nanoseconds, const std::stop_token&)> sleep;
    [[nodiscard]] static RealTime of_this_machine(); // CLOCK_MONOTONIC
};

class SimulationClock {
public:
    // speed: 1 … 1000. The clock begins at `start`, by default at the real one's time.
    explicit SimulationClock(std::uint32_t speed, RealTime real = RealTime::of_this_machine());
    SimulationClock(std::uint32_t speed, std::chrono::nanoseconds start,
                    RealTime real = RealTime::of_this_machine());

    [[nodiscard]] std::chrono::nanoseconds now() const;
    // Sleeps until the clock shows `time`, but for no more than `longest` of real time, or until `stop`.
    void sleep_until(std::chrono::nanoseconds time, std::chrono::nanoseconds longest,
                     const std::stop_token& stop = {}) const;

private:
    RealTime real_;
    std::uint32_t speed_;
    std::chrono::nanoseconds real_start_;
    std::chrono::nanoseconds start_;
};

} // namespace pulsemeter
