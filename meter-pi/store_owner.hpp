// Pure: whose a state folder is, and what to do about one that is another's. A meter moves over from the classic wire to
// the sealed one with a register of its own: the old one is kept, since its total may hold whatever the pair counted.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace pulsemeter {

// After the meter's id, if it is on that wire.
inline constexpr std::string_view on_the_classic_wire = " on the classic wire";

// For people: `folder` keeps the register of `owner`, but `wanted` came.
[[nodiscard]] std::string remedy_for_owner(const std::filesystem::path& folder, std::string_view owner,
                                           std::string_view wanted);

} // namespace pulsemeter
