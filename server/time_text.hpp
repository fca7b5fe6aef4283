// Wall times as text: ISO 8601 in UTC for scripts, the local zone for people, and the way back for --since.
// Pure but for the process's time zone (TZ). Thread-safe.
#pragma once

#include "shared/reading.hpp"

#include <optional>
#include <string>

namespace pulsemeter {

[[nodiscard]] std::string utc_text(WallTime time);   // 2026-01-31T12:00:00.000Z
[[nodiscard]] std::string local_text(WallTime time); // 2026-01-31 13:00:00

// ISO 8601: a date (its local midnight), or a date and a time HH:MM[:SS[.fraction]] after 'T' or a blank;
// then "Z" or an offset ±HH:MM, else it is local time. 1970 … 9999.
[[nodiscard]] std::optional<WallTime> parse_time(const std::string& text);

} // namespace pulsemeter
