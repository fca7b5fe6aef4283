// A disk that loses what nobody has synced: an SQLite VFS, the default one of the test program, that keeps every file in
// memory as two images, what programs see and what a power cut leaves. The rules, conservative where POSIX promises
// nothing:
//  - a write or a truncation lasts only after xSync of that file;
//  - a name that was created or deleted lasts only after a sync of its folder: xDelete with syncDir, or the first
//    xSync of a journal or log that its own xOpen created (as in SQLite's unix VFS); a database's own sync is not enough;
//  - a failed sync leaves each write since the last one either on the medium or lost for good, although it can still be
//    read and later syncs succeed (as Linux does);
//  - at a cut each of what is not synced may be there, be missing or be torn at 512 bytes (PowerLoss); then everything
//    fails until restart() lays what is left into real files, from where the next life reads.
// Only steps that change something are counted (create, write, truncate, sync, delete). One thread, one connection a
// database at a time: locks are not kept, and WAL's shared memory is on the heap and dies with the connection.
// A file that was made past SQLite is there for good.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace pulsemeter {

enum class PowerLoss : std::uint8_t {
    dropped,   // nothing that was not synced is left
    subset,    // each step is left or lost by itself
    torn,      // the oldest steps are left, one of them in part, and nothing after it
    kept,      // everything is left, synced or not
    scattered, // each sector of each step is left or lost by itself
};
inline constexpr std::array all_power_losses{PowerLoss::dropped, PowerLoss::subset, PowerLoss::torn,
                                             PowerLoss::kept, PowerLoss::scattered};

struct LossyImage; // one file's bytes

class LossyDisk {
public:
    static LossyDisk& installed(); // registers it when first asked for
    // A disk of its own for all that lies below `folder`, while the object lives: a world of several machines.
    explicit LossyDisk(const std::string& folder);
    ~LossyDisk();
    LossyDisk(const LossyDisk&) = delete;
    LossyDisk& operator=(const LossyDisk&) = delete;

    // The power goes in the middle of the step-th step from now, 1 the next one. 0: never.
    void cut_at(std::uint64_t step, PowerLoss loss);
    void cut_now(PowerLoss loss);
    [[nodiscard]] bool is_cut() const { return cut_; }
    // Every handle must be closed. Forgets what was planned; `seed` decides what is lost from here on.
    void restart(std::uint64_t seed);

    // The step-th step from now and the count − 1 after it fail: a write with SQLITE_FULL or SQLITE_IOERR_WRITE, half
    // written; a sync with SQLITE_IOERR_FSYNC; a creation, truncation or deletion with an error of its own.
    // (EROFS on an open file reaches SQLite's callers as the same: all but ENOSPC is SQLITE_IOERR_*.)
    void fail_at(std::uint64_t step, std::uint64_t count = 1);
    [[nodiscard]] bool has_failed() const { return last_error_ != 0; } // since fail_at()
    [[nodiscard]] int last_error() const { return last_error_; }

    [[nodiscard]] std::uint64_t steps() const { return steps_; }
    [[nodiscard]] std::uint64_t syncs() const
    {
        return syncs_;
    } // of files and folders, as a card would be asked for

    struct Handle; // one open file
    struct Vfs;    // what SQLite calls

private:
    LossyDisk() = default; // the one for whatever is on no disk of its own
    [[nodiscard]] static LossyDisk& of(const char* path);

    struct Name { // an empty one: the name is not there
        std::shared_ptr<LossyImage> seen;
        std::shared_ptr<LossyImage> lasting;
    };
    using Names = std::map<std::string, Name>;

    enum class Verdict : std::uint8_t { goes_on, fails, cut };
    [[nodiscard]] Verdict count_step();
    [[nodiscard]] int failed(int error);
    [[nodiscard]] Name* find(const std::string& path);
    void sync_folder(const std::string& path);
    [[nodiscard]] bool coin() { return (random_() & 1U) != 0; }

    std::string folder_;
    Names names_;
    std::mt19937_64 random_{1};
    std::uint64_t steps_ = 0;
    std::uint64_t syncs_ = 0;
    std::uint64_t cut_step_ = 0;
    std::uint64_t first_failing_ = 0;
    std::uint64_t last_failing_ = 0;
    PowerLoss loss_ = PowerLoss::dropped;
    bool cut_ = false;
    int last_error_ = 0;
    int handles_ = 0;
};

} // namespace pulsemeter
