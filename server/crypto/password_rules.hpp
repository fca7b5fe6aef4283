// Which passwords an operator may choose: at least 8 characters (of UTF-8), not one character over and over,
// and none of the commonest, whatever the case of their letters. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace pulsemeter {

// Why the password won't do, for people, in one line; empty if it will.
[[nodiscard]] std::string check_new_password(std::string_view password);

} // namespace pulsemeter
