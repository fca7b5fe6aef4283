// The file of SqliteMeterStore: its tables, and how it is opened after whatever happened to it.
#include "meter-pi/sqlite_meter_store_impl.hpp"
#include "shared/errors.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pulsemeter {
namespace {

constexpr int application_id = 0x504d4d31; // "PMM1": a pulsemeter meter's store
constexpr int layout = 2;                  // 1 had no checksums

// Each page that an interval changes is 4 KiB more on the card. So the confirmation lies beside the register, whose page is
// written anyway, and the notes change hardly ever.
constexpr const char* schema = R"(
CREATE TABLE register (
    source     INTEGER PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    numbered   INTEGER NOT NULL,
    imp        INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    glitches   INTEGER NOT NULL,
    missed     INTEGER NOT NULL,
    uncertain  INTEGER NOT NULL,
    confirmation TEXT,
    checksum   INTEGER
) STRICT;
CREATE TABLE outbox (
    epoch      INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    held       INTEGER NOT NULL DEFAULT 0,
    total      INTEGER NOT NULL,
    imp        INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    measured   INTEGER NOT NULL,
    clock      INTEGER NOT NULL,
    boot       BLOB NOT NULL,
    uptime     INTEGER NOT NULL,
    source     INTEGER NOT NULL,
    glitches   INTEGER NOT NULL,
    missed     INTEGER NOT NULL,
    uncertain  INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    power      INTEGER,
    checksum   INTEGER,
    PRIMARY KEY (epoch, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_held ON outbox (epoch, sequence) WHERE held <> 0;
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
)";

// Its own table, for it is empty nearly always.
constexpr const char* renewal_schema = R"(
CREATE TABLE IF NOT EXISTS renewal (
    source     INTEGER PRIMARY KEY,
    start      INTEGER NOT NULL,
    imp        INTEGER NOT NULL,
    total      INTEGER NOT NULL,
    events     INTEGER NOT NULL
) STRICT;
)";

// SQLite itself would make the file readable by all; its log takes the file's own mode.
void make_private(const std::filesystem::path& file)
{
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return; // SQLite says what is wrong
    static_cast<void>(::fchmod(descriptor, 0600));
    ::close(descriptor);
}

// Of the register's.
bool has_column(SQLite::Database& db, const char* name)
{
    SQLite::Statement query(db, "SELECT count(*) FROM pragma_table_info('register') WHERE name = ?");
    query.bind(1, name);
    query.executeStep();
    return query.getColumn(0).getInt() != 0;
}

} // namespace

void SqliteMeterStore::Impl::open()
{
    if (access == StoreAccess::own)
        make_private(path);
    const int mode =
        access == StoreAccess::own ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY;
    database.emplace(path.string(), mode, 5'000);
    SQLite::Database& db = *database;
    const int owner = db.execAndGet("PRAGMA application_id").getInt();
    const bool empty = db.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
    if (!empty && owner != application_id)
        throw SQLite::Exception("it belongs to another program", SQLITE_NOTADB);
    const int version = db.execAndGet("PRAGMA user_version").getInt();
    if (!empty && (version < 1 || version > layout))
        throw SQLite::Exception("it was written by another version of meter-pi", SQLITE_NOTADB);
    if (access == StoreAccess::own) {
        // EXTRA is FULL to a log, and to the journal that the change to a log makes once it also syncs that journal's
        // deletion: one that a power cut brought back would undo the whole file.
        db.exec("PRAGMA synchronous = EXTRA");
        db.exec("PRAGMA journal_mode = WAL");
        if (empty)
            make_tables();
        settle();
        bring_up_to_date();
    }
    if (access == StoreAccess::look && empty)
        throw UsageError(fmt::format("{}: no meter has run here yet", path.string()));
    has_checksums = has_column(db, "checksum");
    const std::string verdict = db.execAndGet("PRAGMA quick_check(1)").getString();
    if (verdict != "ok")
        throw SQLite::Exception(verdict, SQLITE_CORRUPT);
    if (db.execAndGet("SELECT count(*) FROM register WHERE source NOT IN (1, 2)").getInt() != 0)
        throw SQLite::Exception("a register of no source", SQLITE_CORRUPT);
    rows = static_cast<std::size_t>(db.execAndGet("SELECT count(*) FROM outbox").getInt64());
}

void SqliteMeterStore::Impl::make_tables()
{
    SQLite::Database& db = *database;
    SQLite::Transaction transaction(db);
    db.exec(schema);
    db.exec(fmt::format("PRAGMA application_id = {}", application_id));
    db.exec(fmt::format("PRAGMA user_version = {}", layout));
    transaction.commit();
}

// A commit whose sync failed in an earlier life may still be read from the log although the card does not have it.
// Written back to the file, and the log begun anew (an older state of it on the card would undo that), what is found
// here is there for good.
void SqliteMeterStore::Impl::settle()
{
    {
        SQLite::Statement checkpoint(*database, "PRAGMA wal_checkpoint(RESTART)");
        if (checkpoint.executeStep() && checkpoint.getColumn(0).getInt() != 0)
            throw SQLite::Exception("its log could not be written back", SQLITE_BUSY);
    }
    database->exec(fmt::format("PRAGMA user_version = {}", layout)); // the first commit to the new log
}

// What stores of an earlier meter-pi do not have.
void SqliteMeterStore::Impl::bring_up_to_date()
{
    SQLite::Database& db = *database;
    db.exec(renewal_schema);
    if (!has_column(db, "confirmation"))
        db.exec("ALTER TABLE register ADD COLUMN confirmation TEXT");
    if (has_column(db, "checksum"))
        return;
    SQLite::Transaction transaction(db);
    db.exec("ALTER TABLE register ADD COLUMN checksum INTEGER");
    db.exec("ALTER TABLE outbox ADD COLUMN checksum INTEGER");
    for (const Source source : {Source::measured, Source::simulated}) {
        if (const auto stored = load(db, source))
            save(db, *stored, std::nullopt);
    }
    transaction.commit();
}

} // namespace pulsemeter
