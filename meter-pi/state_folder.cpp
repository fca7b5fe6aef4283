#include "meter-pi/state_folder.hpp"

#include "shared/errors.hpp"

#include <cstdlib>

namespace pulsemeter {

namespace {

std::optional<std::string> variable(const char* name)
{
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

} // namespace

std::filesystem::path state_folder(const std::optional<std::string>& option)
{
    if (option && option->empty())
        throw UsageError("--state: the folder's name is empty");
    if (option)
        return *option;
    if (const auto systemd = variable("STATE_DIRECTORY"))
        return systemd->substr(0, systemd->find(':')); // the first of several
    if (const auto xdg = variable("XDG_STATE_HOME");
        xdg && xdg->front() == '/') // a relative one is as good as none
        return std::filesystem::path(*xdg) / "pulsemeter";
    if (const auto home = variable("HOME"))
        return std::filesystem::path(*home) / ".local/state/pulsemeter";
    throw UsageError(
        "neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME says where to keep the register: say --state DIR");
}

} // namespace pulsemeter
