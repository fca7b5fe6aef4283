#include "meter-pi/simulation_clock.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace pulsemeter {

namespace {

void sleep_or_stop(std::chrono::nanoseconds duration, const std::stop_token& stop)
{
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, duration, [] { return false; });
}

} // namespace

RealTime RealTime::of_this_machine()
{
    return {.now = [] { return std::chrono::steady_clock::now().time_since_epoch(); },
            .sleep = sleep_or_stop};
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

void SimulationClock::sleep_until(std::chrono::nanoseconds time, std::chrono::nanoseconds longest,
                                  const std::stop_token& stop) const
{
    const std::chrono::nanoseconds real_time = (time - now() + std::chrono::nanoseconds(speed_ - 1)) / speed_;
    const std::chrono::nanoseconds duration = std::min(real_time, longest);
    if (duration > std::chrono::nanoseconds::zero())
        real_.sleep(duration, stop);
}

} // namespace pulsemeter
