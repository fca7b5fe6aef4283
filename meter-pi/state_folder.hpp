// Where the meter keeps its register: --state DIR, else $STATE_DIRECTORY (systemd), else pulsemeter in the
// XDG state folder. Throws UsageError if none of them is there.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace pulsemeter {

[[nodiscard]] std::filesystem::path state_folder(const std::optional<std::string>& option);

// Root, who sets the register of a service, goes on as the user whose folder it is: a file of root's in there would keep
// that service from starting. Nothing happens where the folder is one's own, or for anybody but root. Never undone.
void become_owner_of(const std::filesystem::path& folder);

} // namespace pulsemeter
