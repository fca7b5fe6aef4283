// What is derived from register values for people: energy used, kWh as text, whether a meter has gone quiet.
// Pure; exact integer arithmetic that cannot overflow. Rounding is always down, so that nothing is shown (or
// priced) that was not used up yet.
#pragma once

#include "shared/reading.hpp"

#include <optional>
#include <string>

namespace pulsemeter {

// A sum of differences within epochs that share a meter constant.
struct ConsumedPulses {
    MeterConstant constant;
    Pulses pulses;
    auto operator<=>(const ConsumedPulses&) const = default;
};

// Units of 1 Wh, whole ones: "48".
[[nodiscard]] std::string units_text(Pulses pulses, MeterConstant constant);

// start + pulses as kWh, down to 1 mWh: at least three decimals, at most six, without trailing zeros after
// the third: "0.048", "12345.000312".
[[nodiscard]] std::string kwh_text(Pulses pulses, MeterConstant constant, MilliwattHours start);

// Taken for a meter that has shown no interval yet.
inline constexpr std::chrono::milliseconds default_interval = std::chrono::seconds(10);

// retained: the broker had kept it, for who knows how long.
enum class Delivery : std::uint8_t { live, retained };

// Older than three intervals. The age is counted from the measurement if the meter's clock was synchronised, else from
// the receipt of a live reading; a retained one alone never makes a meter fresh.
[[nodiscard]] bool is_stale(const Reading& newest, WallTime received_at, Delivery delivery,
                            std::optional<std::chrono::milliseconds> interval, WallTime now);

} // namespace pulsemeter
