// The ledger's file as a connection: opening, checking whose it is, laying the tables, and saying in one line what
// failed. For sqlite_ledger*.cpp only.
#pragma once

#include "server/sqlite_ledger.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace pulsemeter {

// How it was left: afresh, or by a failure after which what lies in the write-ahead log is in doubt.
enum class LastUse : std::uint8_t { clean, failed };

using FileId = std::pair<dev_t, ino_t>;
[[nodiscard]] std::optional<FileId> identify(const std::filesystem::path& file); // nothing: there is none

// Of one epoch and day of receipt.
struct NewRows {
    std::int64_t meter = 0;
    WallTime received_at{};
    std::vector<std::pair<std::int64_t, std::uint32_t>> rows; // sequence and checksum
};

// A stretch of one boot of a meter's system in which its wall clock went straight.
struct Boot {
    BootId id{};
    std::int64_t began = 0; // its wall clock at uptime 0, ms since 1970; any number, if that is wrong
};

class LedgerFile {
public:
    LedgerFile(const std::filesystem::path& file, LedgerAccess access, LastUse last_use);

    [[nodiscard]] SQLite::Database& database() { return database_; }
    // Compiled once a connection, ready to be bound; reset when the caller is done, since a statement that is left half
    // read would hold its view of the ledger. `sql` lives as long as the program.
    struct Reset {
        void operator()(SQLite::Statement* statement) const { statement->tryReset(); }
    };
    using Query = std::unique_ptr<SQLite::Statement, Reset>;
    [[nodiscard]] Query query(const char* sql);

    // False if the file, or a part of it, is no longer what the path names: SQLite would go on committing into a file
    // that nobody finds again.
    [[nodiscard]] bool is_in_place() const;

    // By life and day: what the transaction inserted so far.
    std::map<std::pair<std::int64_t, std::int64_t>, NewRows> new_rows;
    // By the ledger's number of it: those that the transaction met so far.
    std::map<std::uint64_t, Boot> boots;
    std::set<std::int64_t> clones_told; // lives

private:
    void check(const std::filesystem::path& file, LedgerAccess access);
    void settle(LastUse last_use);

    SQLite::Database database_;
    std::map<const char*, SQLite::Statement> statements_;
    std::vector<std::pair<std::filesystem::path, FileId>> files_; // none when it is only read
};

// "the ledger FILE is damaged (…): restore it from a backup"
[[nodiscard]] std::string explain(const std::filesystem::path& file, const SQLite::Exception& failure);
// Waiting does not help: the file itself, or the way to it, is wrong.
[[nodiscard]] bool is_for_the_operator(const SQLite::Exception& failure);

} // namespace pulsemeter
