// A reading as the ledger holds it. A value.
#pragma once

#include "server/consumption.hpp"
#include "shared/reading.hpp"

#include <cstdint>
#include <string_view>

namespace pulsemeter {

enum class Standing : std::uint8_t { admitted, accepted_by_operator, discarded };
[[nodiscard]] std::string_view text(Standing standing); // "admitted", …

struct LedgerReading {
    Reading reading;
    WallTime received_at{};
    Standing standing = Standing::admitted;
    Delivery delivery = Delivery::live;
};

} // namespace pulsemeter
