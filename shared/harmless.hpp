// Text from outside made fit for a terminal and a log: a hostile topic, payload or file name must neither begin a second
// line nor reach the terminal as a command. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pulsemeter {

// How many bytes at the front of `text`, which is not empty, make one character that a terminal only shows; 0 if it
// could act on it (C0 and C1 control characters) or if they are no UTF-8.
[[nodiscard]] std::size_t harmless_length(std::string_view text);

// Everything else as \n, \t or \xNN.
[[nodiscard]] std::string escaped(std::string_view text);

} // namespace pulsemeter
