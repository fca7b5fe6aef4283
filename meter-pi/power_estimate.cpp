#include "meter-pi/power_estimate.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <limits>

namespace pulsemeter {

std::optional<Milliwatts> estimate_power(MeterConstant constant,
                                         std::optional<std::chrono::nanoseconds> last_pulse,
                                         std::optional<std::chrono::nanoseconds> last_spacing,
                                         std::chrono::nanoseconds now)
{
    ENSURE(constant.imp_per_kwh > 0, "a meter makes pulses");
    if (!last_spacing || !last_pulse)
        return std::nullopt;
    constexpr std::uint64_t nanosecond_milliwatts_per_kwh = 3'600'000'000'000'000'000; // fits: 2^61.6
    constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max() - 1;
    const auto spacing = std::max(*last_spacing, now - *last_pulse).count();
    if (spacing <= 0)
        return Milliwatts{static_cast<std::uint32_t>(most)};
    // Two divisions round down to the same as one by their product, which could overflow.
    const std::uint64_t power =
        nanosecond_milliwatts_per_kwh / constant.imp_per_kwh / static_cast<std::uint64_t>(spacing);
    return Milliwatts{static_cast<std::uint32_t>(std::min(power, most))};
}

} // namespace pulsemeter
