// Where the operator's password comes from: --password-file, a systemd credential ("password"), or a terminal
// without echo. Never from an argument or the environment. The terminal is as it was before on every way out,
// Ctrl-C and SIGTERM included. Throws UsageError where none of the three is there, saying what to do. One
// thread.
#pragma once

#include "shared/crypto/secret.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

// The password that was set by `init`.
[[nodiscard]] crypto::SecretText obtain_password(const std::optional<std::filesystem::path>& file);

// A new one by the rules of crypto/password_rules.hpp: typed twice on a terminal, until it is good and the two agree.
[[nodiscard]] crypto::SecretText obtain_new_password(const std::optional<std::filesystem::path>& file);

// A question on the terminal, answered in the open. Nothing where standard input is no terminal.
[[nodiscard]] std::optional<std::string> ask(std::string_view question);

} // namespace pulsemeter
