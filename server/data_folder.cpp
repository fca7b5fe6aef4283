#include "server/data_folder.hpp"

#include "shared/errors.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <string_view>

namespace pulsemeter {

std::optional<DataFolder> DataFolder::of_user()
{
    // the XDG rules: a relative path is as good as none
    const auto absolute = [](const char* variable) -> std::optional<std::filesystem::path> {
        const char* value = std::getenv(variable);
        return value != nullptr && *value == '/' ? std::optional<std::filesystem::path>(value) : std::nullopt;
    };
    if (const auto data = absolute("XDG_DATA_HOME"))
        return DataFolder(*data / "pulsemeter");
    if (const auto home = absolute("HOME"))
        return DataFolder(*home / ".local" / "share" / "pulsemeter");
    return std::nullopt;
}

bool DataFolder::initialised() const
{
    std::error_code error;
    const bool there = std::filesystem::exists(keystore(), error);
    if (error)
        throw UsageError(fmt::format("{}: {}", keystore().string(), error.message()));
    return there;
}

void DataFolder::require_initialised() const
{
    if (!initialised()) {
        throw UsageError(
            fmt::format("{} is no data folder yet: make it with `meter-server init`, or name another "
                        "with --data DIR",
                        path_.string()));
    }
}

} // namespace pulsemeter
