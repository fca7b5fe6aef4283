// What the tests on the lossy disk share.
#pragma once

#include "tests/disk/lossy_disk.hpp"

#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>

namespace pulsemeter {

// A folder of its own, gone with it.
class PowerFolder {
public:
    PowerFolder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "power-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder " + name);
        path_ = name;
    }
    ~PowerFolder()
    {
        LossyDisk::installed().restart(1); // nothing of this folder is left in the disk's memory
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    PowerFolder(const PowerFolder&) = delete;
    PowerFolder& operator=(const PowerFolder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

inline std::uint64_t first_seed()
{
    const char* given = std::getenv("PULSEMETER_SEED");
    return given == nullptr ? 1 : std::stoull(given);
}

// PULSEMETER_LONG=1 takes ten times as many.
inline std::uint64_t rounds(std::uint64_t short_run)
{
    const char* given = std::getenv("PULSEMETER_LONG");
    return given != nullptr && std::string(given) == "1" ? 10 * short_run : short_run;
}

class Dice {
public:
    explicit Dice(std::uint64_t seed) : random_(seed) {}
    [[nodiscard]] std::uint64_t between(std::uint64_t least, std::uint64_t most)
    {
        return least + random_() % (most - least + 1);
    }
    [[nodiscard]] bool one_in(std::uint64_t sides) { return random_() % sides == 0; }
    [[nodiscard]] PowerLoss loss() { return all_power_losses.at(random_() % all_power_losses.size()); }

private:
    std::mt19937_64 random_;
};

// Checkpoints come every so many pages instead of every 1,000, so that cuts meet them: for connections opened from here
// on, until the object is gone. Nothing else of the stores changes.
class Checkpoints {
public:
    explicit Checkpoints(int pages)
    {
        pages_ = pages;
        sqlite3_auto_extension(reinterpret_cast<void (*)()>(set));
    }
    ~Checkpoints() { sqlite3_cancel_auto_extension(reinterpret_cast<void (*)()>(set)); }
    Checkpoints(const Checkpoints&) = delete;
    Checkpoints& operator=(const Checkpoints&) = delete;

private:
    // Opening sets the usual 1,000 after the extensions have run, so the first statement has to change it.
    static int set(sqlite3* connection, const char** /*error*/, const sqlite3_api_routines* /*routines*/)
    {
        return sqlite3_trace_v2(connection, SQLITE_TRACE_STMT, at_statement, connection);
    }
    static int at_statement(unsigned /*event*/, void* connection, void* /*statement*/, void* /*text*/)
    {
        sqlite3_wal_autocheckpoint(static_cast<sqlite3*>(connection), pages_);
        return 0;
    }
    static inline int pages_ = 1'000;
};

} // namespace pulsemeter
