// Integers that are too wide for 64 bits, and integers as decimal text: what exact energy and money need.
// Pure.
#pragma once

#include <cstdint>
#include <string>

namespace pulsemeter {

__extension__ using Wide = unsigned __int128;

// value / 10^decimals without loss: zeros at the end go, but `at_least` decimals stay. decimal_text(48000, 6,
// 3) is "0.048". At most 30 decimals.
[[nodiscard]] std::string decimal_text(Wide value, std::size_t decimals, std::size_t at_least);

} // namespace pulsemeter
