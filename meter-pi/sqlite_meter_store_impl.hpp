// SqliteMeterStore's inside: its tables are in sqlite_meter_store_file.cpp, a register and a reading as rows of them in
// sqlite_meter_store_rows.cpp, what is done with these in sqlite_meter_store.cpp.
#pragma once

#include "meter-pi/sqlite_meter_store.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>
#include <sqlite3.h>

namespace pulsemeter {

struct SqliteMeterStore::Impl {
    std::filesystem::path path;
    StoreAccess access;
    std::size_t limit;
    std::optional<SQLite::Database> database;
    std::size_t rows = 0; // in the outbox, so that no interval counts them
    bool has_checksums = false;
    bool damage_is_told = false;

    void open();
    void make_tables();
    void settle();
    void bring_up_to_date();
    // Runs `body` on an open database; a failure closes it, so that the next call starts anew. A failing disk does not:
    // the connection's index of the log ends before the commit that failed, while a new one would find that commit in
    // the log, unsynced, and take it for done. The next commit writes over it.
    template <typename Body>
    auto run(const Body& body) -> decltype(body(*database));

    static std::int64_t number(std::uint64_t value); // every value of ours is at most 2^63−1 (reading.hpp)
    static std::uint32_t small(const SQLite::Column& column);
    static void save(SQLite::Database& db, const StoredRegister& stored,
                     const std::optional<std::string>& confirmation);
    [[nodiscard]] std::optional<StoredRegister> load(SQLite::Database& db, Source source) const;
    static void save_renewal(SQLite::Database& db, const StoredRegister& stored);
    static std::optional<Renewal> load_renewal(SQLite::Database& db, Source source);
    static constexpr const char* columns = // of the outbox
        "epoch, sequence, total, imp, start, measured, clock, boot, uptime, source, glitches, "
        "missed, uncertain, events, power";
    void append(SQLite::Database& db, const Reading& reading);
    // Of the columns, then the checksum. Nothing: it is damaged. One that a meter-pi without checksums stored has none.
    static std::optional<Reading> reading_from(SQLite::Statement& row);
    static void note(SQLite::Database& db, const char* name, const std::string& value);
    static std::string noted(SQLite::Database& db, const char* name);
    std::size_t thin(SQLite::Database& db);
    struct DamagedRow {
        std::int64_t epoch;
        std::int64_t sequence;
        std::int64_t checksum;
    };
    void drop(SQLite::Database& db, std::span<const DamagedRow> damaged);
    std::vector<Reading> select(SQLite::Database& db, const std::string& condition, const ReadingKey& after,
                                std::size_t most);
};

template <typename Body>
auto SqliteMeterStore::Impl::run(const Body& body) -> decltype(body(*database))
{
    bool is_open = false;
    try {
        if (!database)
            open();
        is_open = true;
        return body(*database);
    } catch (const SQLite::Exception& failure) {
        const int kind = failure.getErrorCode();
        if (!is_open || (kind != SQLITE_IOERR && kind != SQLITE_FULL))
            database.reset();
        const char* remedy = "";
        switch (kind) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            remedy = ": move the file away, then the register comes back from the server";
            break;
        case SQLITE_FULL:
            remedy = ": free some space";
            break;
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
            remedy = ": is the folder there and writable?";
            break;
        default:
            break;
        }
        throw StoreError(fmt::format("{}: {}{}", path.string(), failure.what(), remedy));
    }
}

} // namespace pulsemeter
