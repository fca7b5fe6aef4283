#include "server/sqlite_ledger_file.hpp"

#include "server/sqlite_ledger_layout.hpp"
#include "shared/errors.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace pulsemeter {
namespace {

constexpr int patience_ms = 10'000; // for another process that writes

bool only_reads(LedgerAccess access)
{
    return access == LedgerAccess::read || access == LedgerAccess::copy;
}

SQLite::Database open(const std::filesystem::path& file, LedgerAccess access)
{
    if (file != ":memory:") {
        if (access == LedgerAccess::create) {
            // SQLite itself would make it readable by all.
            const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            if (descriptor >= 0)
                ::close(descriptor);
        } else if (!std::filesystem::exists(file)) {
            throw UsageError(
                fmt::format("the ledger {} is missing: restore it from a backup, or make a new data "
                            "folder with meter-server init",
                            file.string()));
        }
    }
    const int access_flag = only_reads(access) ? SQLite::OPEN_READONLY : SQLite::OPEN_READWRITE;
    // One thread uses it: SQLite need not lock at each of its calls.
    return {file.string(), access_flag | SQLite::OPEN_NOMUTEX, patience_ms};
}

} // namespace

std::optional<FileId> identify(const std::filesystem::path& file)
{
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0)
        return std::nullopt;
    return FileId{status.st_dev, status.st_ino};
}

LedgerFile::LedgerFile(const std::filesystem::path& file, LedgerAccess access, LastUse last_use)
    : database_(open(file, access))
{
    // EXTRA is FULL to a log, and to the journal that the change to a log makes once it also syncs that journal's
    // deletion: one that a power cut brought back would undo the whole file.
    database_.exec("PRAGMA synchronous = EXTRA");
    check(file, access);
    if (only_reads(access))
        return;
    settle(last_use);
    for (const char* suffix : {"", "-wal", "-shm"}) {
        if (const auto id = identify(file.string() + suffix))
            files_.emplace_back(file.string() + suffix, *id);
    }
}

bool LedgerFile::is_in_place() const
{
    int has_moved = 0; // the open file itself: `files_` may be younger than it
    sqlite3_file_control(database_.getHandle(), nullptr, SQLITE_FCNTL_HAS_MOVED, &has_moved);
    return has_moved == 0 && std::all_of(files_.begin(), files_.end(), [](const auto& each) {
               return identify(each.first) == each.second;
           });
}

void LedgerFile::check(const std::filesystem::path& file, LedgerAccess access)
{
    if (access == LedgerAccess::create && layout::is_empty(database_)) {
        database_.exec("PRAGMA journal_mode = WAL");
        layout::make_tables(database_);
    }
    if (!layout::is_ledger(database_)) {
        throw UsageError(
            fmt::format("{} is not a pulsemeter ledger: restore it from a backup", file.string()));
    }
    if (access == LedgerAccess::copy && layout::number(database_) < layout::newest)
        return;
    if (layout::number(database_) < layout::newest) {
        if (access == LedgerAccess::read) {
            throw UsageError(fmt::format("the ledger {} is of an older meter-server: start meter-server run "
                                         "once, which brings it up to date",
                                         file.string()));
        }
        layout::bring_up_to_date(*this);
    }
    if (layout::number(database_) != layout::newest) {
        throw UsageError(fmt::format("the ledger {} was written by another version of meter-server: use that "
                                     "version",
                                     file.string()));
    }
    if (!only_reads(access))
        database_.exec("PRAGMA journal_mode = WAL"); // a backup may have been put back in another mode
}

// A commit whose fsync failed, in this process or an earlier one, may still lie in the log and look committed, while the
// kernel no longer knows that it never reached the disk. Before anything in it is answered with "duplicate" it is
// written back to the file, and the log begun anew: an older state of it on the disk would undo that.
void LedgerFile::settle(LastUse last_use)
{
    // Not by PRAGMA, which is refused (SQLITE_LOCKED) where the tables have just been changed.
    const int code = sqlite3_wal_checkpoint_v2(database_.getHandle(), nullptr, SQLITE_CHECKPOINT_RESTART,
                                               nullptr, nullptr);
    if (code == SQLITE_BUSY) {
        if (last_use == LastUse::failed)
            throw SQLite::Exception("the log could not be written back", SQLITE_BUSY);
        return; // a server that runs beside us has settled it
    }
    if (code != SQLITE_OK)
        throw SQLite::Exception(database_.getHandle(), code);
    database_.exec(
        fmt::format("PRAGMA user_version = {}", layout::newest)); // the first commit to the new log
}

LedgerFile::Query LedgerFile::query(const char* sql)
{
    auto found = statements_.find(sql);
    if (found == statements_.end())
        found = statements_.emplace(sql, SQLite::Statement(database_, sql)).first;
    return Query(&found->second);
}

bool is_for_the_operator(const SQLite::Exception& failure)
{
    switch (failure.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return true;
    default:
        return false;
    }
}

std::string explain(const std::filesystem::path& file, const SQLite::Exception& failure)
{
    switch (failure.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fmt::format("the ledger {} is damaged ({}): restore it from a backup", file.string(),
                           failure.what());
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return fmt::format(
            "the ledger {} cannot be opened ({}): let this user read and write it and its folder",
            file.string(), failure.what());
    case SQLITE_FULL:
        return fmt::format("the disk of the ledger {} is full: make room", file.string());
    case SQLITE_BUSY:
        return fmt::format("the ledger {} is in use by another process ({})", file.string(), failure.what());
    default:
        return fmt::format("the ledger {} failed: {}", file.string(), failure.what());
    }
}

} // namespace pulsemeter
