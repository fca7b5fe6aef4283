#include "server/consumption.hpp"

#include "server/decimal.hpp"

#include <algorithm>

namespace pulsemeter {

std::string units_text(Pulses pulses, MeterConstant constant)
{
    return decimal_text(Wide{pulses.value} * 1000 / constant.imp_per_kwh, 0, 0);
}

std::string kwh_text(Pulses pulses, MeterConstant constant, MilliwattHours start)
{
    const Wide milliwatt_hours = Wide{pulses.value} * 1'000'000 / constant.imp_per_kwh + start.value;
    return decimal_text(milliwatt_hours, 6, 3);
}

bool is_stale(const Reading& newest, WallTime received_at, Delivery delivery,
              std::optional<std::chrono::milliseconds> interval, WallTime now)
{
    if (newest.clock == Clock::unsynchronised && delivery == Delivery::retained)
        return true;
    // Meters that send faster than once a second are not called stale for a hiccup of the network.
    const auto expected = std::clamp<std::chrono::milliseconds>(
        interval.value_or(default_interval), std::chrono::seconds(1), std::chrono::hours(24));
    const WallTime since =
        newest.clock == Clock::synchronised ? std::min(newest.measured_at, received_at) : received_at;
    return now - since > 3 * expected;
}

} // namespace pulsemeter
