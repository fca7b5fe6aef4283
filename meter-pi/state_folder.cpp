#include "meter-pi/state_folder.hpp"

#include "shared/errors.hpp"

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

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

void become_owner_of(const std::filesystem::path& folder)
{
    struct stat owner {};
    if (::geteuid() != 0 || ::stat(folder.c_str(), &owner) != 0 || owner.st_uid == 0)
        return;
    if (::setgroups(0, nullptr) != 0 || ::setgid(owner.st_gid) != 0 || ::setuid(owner.st_uid) != 0)
        throw std::system_error(errno, std::generic_category(), folder.string() + ": acting as its owner");
}

} // namespace pulsemeter
