// Where the meter keeps its register: --state DIR, else $STATE_DIRECTORY (systemd), else pulsemeter in the
// XDG state folder. Throws UsageError if none of them is there.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace pulsemeter {

[[nodiscard]] std::filesystem::path state_folder(const std::optional<std::string>& option);

} // namespace pulsemeter
