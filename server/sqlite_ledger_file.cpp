#include "server/sqlite_ledger_file.hpp"

#include "shared/errors.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace pulsemeter {
namespace {

constexpr int application_id = 0x504d4c31; // "PML1": a pulsemeter ledger
constexpr int layout = 2;
constexpr int patience_ms = 10'000; // for another process that writes

// `life` is one epoch of one meter, with what is fixed in it. A row of `reading` is kept short: what is seldom other
// than zero (quality, events) is one blob, and `delay` is the receipt's distance from the measurement.
constexpr const char* schema = R"(
CREATE TABLE meter (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    refused    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE life (
    id         INTEGER PRIMARY KEY,
    meter      INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    imp        INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    overruled  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (meter, epoch)
) STRICT;
CREATE TABLE boot (
    id         INTEGER PRIMARY KEY,
    boot       BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE reading (
    life       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    measured   INTEGER NOT NULL,
    delay      INTEGER NOT NULL,
    boot       INTEGER NOT NULL,
    uptime     INTEGER NOT NULL,
    flags      INTEGER NOT NULL,
    power      INTEGER,
    extra      BLOB,
    PRIMARY KEY (life, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE held (
    meter      INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    reason     INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    repeats    INTEGER NOT NULL DEFAULT 0,
    dismissed  INTEGER NOT NULL DEFAULT 0,
    content    BLOB NOT NULL,
    PRIMARY KEY (meter, epoch, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    meter      TEXT,
    detail     TEXT NOT NULL
) STRICT;
)";

// What layout 2 added; the whole schema is both. `fall` is where an accepted reading made a total go down,
// `open_day` between which numbers an epoch's rows of a day (of receipt, UTC) that is not sealed yet lie, `late` are
// rows that came after their day was sealed (seal 0: not amended yet), `seal` is sqlite_ledger_audit.cpp's, and
// `gap` begins after the last reading that a backup had, until `before`, the first one that came since.
constexpr const char* added_by_layout_2 = R"(
CREATE TABLE fall (
    life       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    pulses     INTEGER NOT NULL,
    PRIMARY KEY (life, sequence)
) STRICT, WITHOUT ROWID;
CREATE TABLE open_day (
    life       INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    PRIMARY KEY (life, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE late (
    life       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    seal       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (life, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX late_unsealed ON late (life) WHERE seal = 0;
CREATE TABLE seal (
    number     INTEGER PRIMARY KEY,
    meter      INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    row_count  INTEGER NOT NULL,
    marks      BLOB NOT NULL,
    mac        BLOB NOT NULL
) STRICT;
CREATE INDEX seal_of_meter ON seal (meter, number);
CREATE TABLE gap (
    life       INTEGER NOT NULL,
    after      INTEGER NOT NULL,
    before     INTEGER,
    PRIMARY KEY (life, after)
) STRICT, WITHOUT ROWID;
CREATE TABLE restoration (
    at         INTEGER NOT NULL
) STRICT;
)";

// What the new tables say of the rows that are there.
constexpr const char* from_layout_1 = R"(
INSERT INTO fall
    SELECT life, sequence, before - total FROM (
        SELECT life, sequence, total, lag(total) OVER (PARTITION BY life ORDER BY sequence) AS before
        FROM reading WHERE flags & 2 = 0 AND life IN (SELECT id FROM life WHERE overruled = 1))
    WHERE before > total;
INSERT INTO open_day
    SELECT life, (measured + delay) / 86400000, min(sequence), max(sequence) FROM reading GROUP BY 1, 2;
)";

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
    const int flags = access == LedgerAccess::read ? SQLite::OPEN_READONLY : SQLite::OPEN_READWRITE;
    return {file.string(), flags, patience_ms};
}

int pragma(SQLite::Database& database, const char* name)
{
    return database.execAndGet(fmt::format("PRAGMA {}", name)).getInt();
}

bool is_empty(SQLite::Database& database)
{
    return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

void make_tables(SQLite::Database& database)
{
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (!is_empty(database))
        return; // another process was faster
    database.exec(schema);
    database.exec(added_by_layout_2);
    database.exec(
        fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id, layout));
    transaction.commit();
}

void bring_up_to_date(SQLite::Database& database)
{
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (pragma(database, "user_version") != 1)
        return; // another process was faster
    database.exec(added_by_layout_2);
    database.exec(from_layout_1);
    database.exec(fmt::format("PRAGMA user_version = {}", layout));
    transaction.commit();
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
    if (access == LedgerAccess::read)
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
    if (access == LedgerAccess::create && is_empty(database_)) {
        database_.exec("PRAGMA journal_mode = WAL");
        make_tables(database_);
    }
    if (pragma(database_, "application_id") != application_id) {
        throw UsageError(
            fmt::format("{} is not a pulsemeter ledger: restore it from a backup", file.string()));
    }
    if (pragma(database_, "user_version") == 1) {
        if (access == LedgerAccess::read) {
            throw UsageError(fmt::format("the ledger {} is of an older meter-server: start meter-server run "
                                         "once, which brings it up to date",
                                         file.string()));
        }
        bring_up_to_date(database_);
    }
    if (pragma(database_, "user_version") != layout) {
        throw UsageError(fmt::format("the ledger {} was written by another version of meter-server: use that "
                                     "version",
                                     file.string()));
    }
    if (access != LedgerAccess::read)
        database_.exec("PRAGMA journal_mode = WAL"); // a backup may have been put back in another mode
}

// A commit whose fsync failed, in this process or an earlier one, may still lie in the log and look committed, while the
// kernel no longer knows that it never reached the disk. Before anything in it is answered with "duplicate" it is
// written back to the file, and the log begun anew: an older state of it on the disk would undo that.
void LedgerFile::settle(LastUse last_use)
{
    {
        SQLite::Statement checkpoint(database_, "PRAGMA wal_checkpoint(RESTART)");
        if (checkpoint.executeStep() && checkpoint.getColumn(0).getInt() != 0) {
            if (last_use == LastUse::failed)
                throw SQLite::Exception("the log could not be written back", SQLITE_BUSY);
            return; // a server that runs beside us has settled it
        }
    }
    database_.exec(fmt::format("PRAGMA user_version = {}", layout)); // the first commit to the new log
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
