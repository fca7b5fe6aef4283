// A clock for tests: real time passes only when someone sleeps or the test says so.
#pragma once

#include "meter-pi/simulation_clock.hpp"

#include <algorithm>

namespace pulsemeter::test {

struct FakeTime {
    std::chrono::nanoseconds now{std::chrono::hours(5)};
    std::chrono::nanoseconds longest_sleep{};
    int sleeps = 0;

    [[nodiscard]] RealTime real_time()
    {
        return {.now = [this] { return now; },
                .sleep =
                    [this](std::chrono::nanoseconds duration, const std::stop_token&) {
                        now += duration;
                        longest_sleep = std::max(longest_sleep, duration);
                        ++sleeps;
                    }};
    }
};

} // namespace pulsemeter::test
