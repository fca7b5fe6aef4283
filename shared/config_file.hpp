// A TOML file in, validated values out. Every error is a UsageError that names file, line and key and says what is
// allowed; keys that nobody asked for are refused by finish(). Keeps toml++ out of every other file.
//
//     ConfigFile file = ConfigFile::read(path, Secrecy::owner_only);
//     auto meter = file.table("meter");
//     const auto interval = meter.integer("interval_s", 1, 86400).value_or(10);
//     file.finish();
#pragma once

#include "shared/errors.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

enum class Secrecy {
    open,
    owner_only
}; // owner_only: refused (chmod 600 as the remedy) if group or others may read

// Where a file goes that the meter's service is to be handed, and what the configuration then says.
[[nodiscard]] std::string how_to_hand_over(const std::filesystem::path& file);

class ConfigFile {
public:
    class Table {
    public:
        // Absent: nullopt. A wrong type, or a value outside the range: UsageError.
        [[nodiscard]] std::optional<std::string> string(std::string_view key);
        [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t least,
                                                          std::int64_t most);
        [[nodiscard]] std::optional<bool> boolean(std::string_view key);
        // A file's name. A relative one is that of a credential if systemd gave us one of this name
        // ($CREDENTIALS_DIRECTORY; "folder/file" is folder_file there), else it starts from the folder of the
        // configuration file, and is refused where that is a credential too: a service sees no more of it.
        [[nodiscard]] std::optional<std::filesystem::path> path(std::string_view key);
        // Absent: UsageError that names the table and the key.
        [[nodiscard]] std::string required_string(std::string_view key);
        // "FILE:LINE: table.key: MESSAGE", for what only the caller can judge.
        [[noreturn]] void refuse(std::string_view key, std::string_view message) const;

    private:
        friend class ConfigFile;
        struct Impl;
        explicit Table(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
        std::shared_ptr<Impl> impl_;
    };

    [[nodiscard]] static ConfigFile read(const std::filesystem::path& path, Secrecy secrecy);
    [[nodiscard]] static ConfigFile parse(std::string_view text,
                                          const std::filesystem::path& name); // for tests and fuzzing

    [[nodiscard]] Table table(std::string_view name); // an absent table is an empty one
    void finish() const;                              // refuses every table and key that was not asked for

private:
    struct Impl;
    explicit ConfigFile(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<Impl> impl_;
};

} // namespace pulsemeter
