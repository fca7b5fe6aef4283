// Pure: watts from the spacing of pulses, for people to look at. Never integrated into energy: that is
// counted.
#pragma once

#include "shared/reading.hpp"

#include <chrono>
#include <optional>

namespace pulsemeter {

// One pulse's energy over the spacing of the last two; once the silence since the last pulse is longer than
// that, over the silence, for had the power been more, the next pulse would have come. Rounded down to whole
// mW, at most 2^32−2. nullopt until two pulses are known: one alone bounds the power, but says nothing of it.
// All times are of the edges' clock.
[[nodiscard]] std::optional<Milliwatts> estimate_power(MeterConstant constant,
                                                       std::optional<std::chrono::nanoseconds> last_pulse,
                                                       std::optional<std::chrono::nanoseconds> last_spacing,
                                                       std::chrono::nanoseconds now);

} // namespace pulsemeter
