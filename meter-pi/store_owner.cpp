#include "meter-pi/store_owner.hpp"

#include "shared/shell_command.hpp"

#include <fmt/core.h>

namespace pulsemeter {

std::string remedy_for_owner(const std::filesystem::path& folder, std::string_view owner,
                             std::string_view wanted)
{
    if (owner != std::string(wanted) + std::string(on_the_classic_wire))
        return "name another folder with --state";
    const std::string place = shell_word(folder.string());
    return fmt::format(
        "to move this meter over to the sealed wire, keep the old register aside with `mv -T {} {}`, let "
        "a new one begin with the number on the meter's display (`meter-pi register set --config FILE "
        "--state {} --kwh NUMBER`), and start again",
        place, shell_word(folder.string() + "-classic"), place);
}

} // namespace pulsemeter
