// Pure: loads that a simulated meter counts, as the times of their pulses. The same seed gives the same
// pulses on every machine: own random numbers, integers only.
#pragma once

#include "shared/reading.hpp"

#include <chrono>
#include <cstdint>
#include <memory>

namespace pulsemeter {

class Load {
public:
    virtual ~Load() = default;
    // The start of the next pulse, from the start of the simulation on; each later than the one before.
    [[nodiscard]] virtual std::chrono::nanoseconds next_pulse() = 0;
};

// A random 0 … 9 pulses in each step, spread evenly over it. step ≥ 1 ms.
[[nodiscard]] std::unique_ptr<Load> uniform_load(std::chrono::nanoseconds step, std::uint64_t seed);

// A family's day: 150 W at night, peaks in the morning and in the evening (3 kW), about 21 kWh a day. Pulses
// come at random: exponential spacing, but never closer than half the mean. It begins at `time_of_day`, 0 …
// 24 h.
[[nodiscard]] std::unique_ptr<Load> household_load(MeterConstant constant,
                                                   std::chrono::nanoseconds time_of_day, std::uint64_t seed);

} // namespace pulsemeter
