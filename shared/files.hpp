// What both programs need of the file system: the lock of a folder, secrets that only their owner may read, and
// whole-file writes that survive a crash. Each failure throws and names the path and the remedy.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace pulsemeter {

// One process a folder: holds DIR/lock (flock, the holder's pid and program inside) until destroyed.
// Throws UsageError that names the holder if another process has it.
class FolderLock {
public:
    FolderLock(const std::filesystem::path& folder, std::string_view program);
    ~FolderLock();
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;

private:
    int descriptor_;
};

// Makes the folder and its parents with mode 0700 where they do not exist; throws UsageError if it cannot be
// made or written to.
void make_private_folder(const std::filesystem::path& folder);

// So that the names in it survive a power cut.
void sync_folder(const std::filesystem::path& folder);

// The whole file. Throws UsageError if it is missing, is no regular file, or is larger than 1 MiB.
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

// As read_file, and UsageError if group or others may read it (remedy: chmod 600).
[[nodiscard]] std::string read_secret_file(const std::filesystem::path& path);

// Of a file that holds one line: without the one line end at its end, be it one of Windows.
[[nodiscard]] std::string_view without_line_end(std::string_view text);

enum class Existing { replace, refuse };
// Mode 0600 from the first byte; written beside, fsynced, moved into place, folder fsynced. UsageError if the
// folder cannot be written to, or if the file exists and Existing::refuse was said (it is untouched then).
void write_secret_file(const std::filesystem::path& path, std::string_view content, Existing existing);

} // namespace pulsemeter
