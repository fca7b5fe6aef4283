// TOML 1.0 with nothing beyond ASCII in it: toml++ 3.3 is undefined at such characters in malformed text. Inside of
// quotes they become escapes, and a literal string that holds one becomes a basic one; in comments they become question
// marks. What the text says, and in which line, stays the same. Pure.
#pragma once

#include <string>
#include <string_view>

namespace pulsemeter {

// UsageError "FILE:LINE: no valid TOML: …" where there may be none: outside of quotes and comments, behind a backslash,
// or bytes that are no UTF-8. All that is ASCII is left to the parser to judge.
[[nodiscard]] std::string ascii_toml(std::string_view text, const std::string& file);

} // namespace pulsemeter
