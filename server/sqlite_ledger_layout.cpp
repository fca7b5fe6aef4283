#include "server/sqlite_ledger_layout.hpp"

#include "server/sqlite_ledger_impl.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

namespace pulsemeter::layout {
namespace {

constexpr int application_id = 0x504d4c31; // "PML1": a pulsemeter ledger

// `life` is one epoch of one meter, with what is fixed in it.
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

// `facts` is packed_reading.hpp's; `facts < x'80'` is true of the rows that were not discarded. A row of
// `boot` is a stretch of one boot in which the meter's wall clock went straight: `began` is where it then would have stood
// at uptime 0, so that a reading needs half a byte for its time instead of six.
// `heard` is the classic wire's, where an equal total makes no row: when one last came that was live, and how long after the
// one before.
constexpr const char* added_by_layout_3 = R"(
CREATE TABLE boot (
    id         INTEGER PRIMARY KEY,
    boot       BLOB NOT NULL,
    began      INTEGER NOT NULL
) STRICT;
CREATE INDEX boot_by_id ON boot (boot);
CREATE TABLE heard (
    life       INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    gap        INTEGER
) STRICT;
CREATE TABLE reading (
    life       INTEGER NOT NULL,
    sequence   INTEGER NOT NULL,
    facts      BLOB NOT NULL,
    PRIMARY KEY (life, sequence)
) STRICT, WITHOUT ROWID;
)";

// What layout 2 added; the whole schema is all four. `fall` is where an accepted reading made a total go down,
// `open_day` between which numbers an epoch's rows of a day (of receipt, UTC) that is not sealed yet lie, `late` are
// rows that came after their day was sealed (seal 0: not amended yet), `seal` is sqlite_ledger_audit.cpp's, and
// `gap` begins after the last reading that a backup had, until `before`: the first one that came since (none: it may still
// come), or 0 once a newer epoch began.
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

// What was stored, to tell when a row that no seal holds yet is not as it came: `checksums` is the sum over the day's rows,
// of 32 bits.
constexpr const char* added_by_layout_4 = R"(
ALTER TABLE open_day ADD COLUMN row_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE open_day ADD COLUMN checksums INTEGER NOT NULL DEFAULT 0;
ALTER TABLE late ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE held ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
CREATE INDEX seal_by_day ON seal (meter, day);
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

int pragma(SQLite::Database& database, const char* name)
{
    return database.execAndGet(fmt::format("PRAGMA {}", name)).getInt();
}

// A row of layout 2 was a column a fact.
PackedReading read_unpacked(SQLite::Statement& row)
{
    enum Flag : unsigned {
        synchronised = 1,
        discarded = 2,
        overruled = 4,
        measured = 8,
        unstated = 16,
        from_retained = 32
    };
    const std::uint64_t flags = row::natural(row.getColumn(7));
    PackedReading reading{.total = {row::natural(row.getColumn(2))},
                          .uptime = Uptime{row::number(row::natural(row.getColumn(6)))},
                          .delay = row.getColumn(4).getInt64()};
    if ((flags & synchronised) != 0)
        reading.clock = Clock::synchronised;
    if ((flags & measured) != 0)
        reading.source = Source::measured;
    if ((flags & unstated) != 0)
        reading.source = Source::unstated;
    if ((flags & overruled) != 0)
        reading.standing = Standing::accepted_by_operator;
    if ((flags & discarded) != 0)
        reading.standing = Standing::discarded;
    if ((flags & from_retained) != 0)
        reading.delivery = Delivery::retained;
    if (!row.getColumn(8).isNull())
        reading.power = Milliwatts{row::small(row.getColumn(8))};
    if (!row.getColumn(9).isNull()) {
        const auto* byte = static_cast<const std::uint8_t*>(row.getColumn(9).getBlob());
        if (row.getColumn(9).getBytes() != 16)
            throw SQLite::Exception("a value of a wrong size", SQLITE_CORRUPT);
        for (std::uint32_t* value : {&reading.quality.glitches, &reading.quality.missed_edges,
                                     &reading.quality.uncertain, &reading.events}) {
            for (int count = 0; count < 4; ++count)
                *value = (*value << 8U) | *byte++;
        }
    }
    return reading;
}

// From `reading_2` and `boot_2` into `reading` and `boot`.
void pack_rows(LedgerFile& file)
{
    SQLite::Statement rows(
        file.database(),
        "SELECT r.life, r.sequence, total, measured, delay, b.boot, uptime, flags, power, extra "
        "FROM reading_2 r LEFT JOIN boot_2 b ON b.id = r.boot ORDER BY r.life, r.sequence");
    while (rows.executeStep()) {
        PackedReading reading = read_unpacked(rows);
        const std::int64_t began =
            row::difference(row::number(row::time(rows.getColumn(3))), reading.uptime.count());
        const auto [boot_number, boot] = row::stretch_of(file, {row::boot_id(rows.getColumn(5)), began});
        reading.boot = boot_number;
        reading.drift = row::difference(began, boot.began);
        row::insert_packed(file, rows.getColumn(0).getInt64(), Sequence{row::natural(rows.getColumn(1))},
                           reading);
    }
}

void from_layout_2(LedgerFile& file)
{
    file.database().exec("ALTER TABLE boot RENAME TO boot_2; ALTER TABLE reading RENAME TO reading_2");
    file.database().exec(added_by_layout_3);
    pack_rows(file);
    file.database().exec("DROP TABLE reading_2; DROP TABLE boot_2");
}

// Whoever brings a ledger up to date believes what it finds.
void from_layout_3(LedgerFile& file)
{
    file.database().exec(added_by_layout_4);
    SQLite::Statement held(file.database(), "SELECT meter, epoch, sequence, content FROM held");
    while (held.executeStep()) {
        const SQLite::Column content = held.getColumn(3);
        const auto* bytes = static_cast<const std::uint8_t*>(content.getBlob());
        SQLite::Statement sum(file.database(),
                              "UPDATE held SET checksum = ? WHERE meter = ? AND epoch = ? AND sequence = ?");
        sum.bind(1, std::int64_t{checksum({bytes, static_cast<std::size_t>(content.getBytes())})});
        for (const int column : {0, 1, 2})
            sum.bind(column + 2, held.getColumn(column).getInt64());
        sum.exec();
    }
    row::note_all(file);
}

} // namespace

bool is_empty(SQLite::Database& database)
{
    return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

bool is_ledger(SQLite::Database& database)
{
    return pragma(database, "application_id") == application_id;
}

int number(SQLite::Database& database)
{
    return pragma(database, "user_version");
}

void make_tables(SQLite::Database& database)
{
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (!is_empty(database))
        return;
    database.exec(schema);
    database.exec(added_by_layout_3);
    database.exec(added_by_layout_2);
    database.exec(added_by_layout_4);
    database.exec(
        fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id, newest));
    transaction.commit();
}

void bring_up_to_date(LedgerFile& file)
{
    SQLite::Database& database = file.database();
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    const int from = number(database);
    if (from < 1 || from >= newest)
        return;
    if (from == 1) {
        database.exec(added_by_layout_2);
        database.exec(from_layout_1);
    }
    if (from <= 2)
        from_layout_2(file);
    from_layout_3(file);
    database.exec(fmt::format("PRAGMA user_version = {}", newest));
    transaction.commit();
}

} // namespace pulsemeter::layout
