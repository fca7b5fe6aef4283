// Pure: energy as people read it on a meter, kWh with decimals, from and to whole mWh. Exact: nothing is rounded.
#pragma once

#include "shared/reading.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

// "12345", "12345.678", at most six decimals. nullopt: anything else (signs, commas, exponents, spaces), or too large.
[[nodiscard]] std::optional<MilliwattHours> parse_kilowatt_hours(std::string_view text);

// At least three decimals, at most six, without zeros after the third: "12345.678".
[[nodiscard]] std::string kilowatt_hours_text(MilliwattHours energy);

} // namespace pulsemeter
