// Pure: what a reading says of an operator's `register set` on the meter, in one line for people and for the ledger's
// events. It is the first reading of the epoch that it began.
#pragma once

#include "shared/reading.hpp"

#include <optional>
#include <string>

namespace pulsemeter {

// "register set to 12345.678 kWh at 800 imp/kWh in epoch 3 (another meter, another imp/kWh)"; nothing: it was not set.
[[nodiscard]] std::optional<std::string> register_change(const Reading& reading);

} // namespace pulsemeter
