// The folder that is a server: its settings, its keystore, its ledger, its lock. Only names here; whoever
// opens a file says how. A value: copy it freely.
#pragma once

#include <filesystem>
#include <optional>

namespace pulsemeter {

class DataFolder {
public:
    explicit DataFolder(std::filesystem::path path) : path_(std::move(path)) {}

    // $XDG_DATA_HOME/pulsemeter, else ~/.local/share/pulsemeter. Nothing without a home.
    [[nodiscard]] static std::optional<DataFolder> of_user();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::filesystem::path settings() const { return path_ / "server.toml"; }
    [[nodiscard]] std::filesystem::path keystore() const { return path_ / "keystore.json"; }
    [[nodiscard]] std::filesystem::path ledger() const { return path_ / "ledger.sqlite"; }

    // The keystore is the last thing that `init` writes. UsageError if the folder can't even be looked into.
    [[nodiscard]] bool initialised() const;
    void require_initialised() const; // throws UsageError that says how to

private:
    std::filesystem::path path_;
};

} // namespace pulsemeter
