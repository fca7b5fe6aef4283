#include "meter-pi/simulation_clock.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace pulsemeter {

RealTime RealTime::of_this_machine()
{
    return {.now = [] { return std::chrono::steady_clock::now().time_since_epoch(); },
            .sleep = [](std::chrono::nanoseconds duration) { std::this_thread::sleep_for(duration); }};
}

SimulationClock::SimulationClock(std::uint32_t speed, RealTime real)
    : real_(std::move(real)), speed_(speed), real_start_(real_.now()), start_(real_start_)
{
    ENSURE(speed >= 1 && speed <= 1000, "the configuration checks the speed");
}

SimulationClock::SimulationClock(std::uint32_t speed, std::chrono::nanoseconds start, RealTime real)
    : SimulationClock(speed, std::move(real))
{
    start_ = start;
}

std::chrono::nanoseconds SimulationClock::now() const
{
    return start_ + (real_.now() - real_start_) * speed_;
}

void SimulationClock::sleep_until(std::chrono::nanoseconds time, std::chrono::nanoseconds longest) const
{
    const std::chrono::nanoseconds real_time = (time - now() + std::chrono::nanoseconds(speed_ - 1)) / speed_;
    const std::chrono::nanoseconds duration = std::min(real_time, longest);
    if (duration > std::chrono::nanoseconds::zero())
        real_.sleep(duration);
}

} // namespace pulsemeter
