// The ledger's tables, how a file tells that it has them, and how older ones are brought up to date. For
// sqlite_ledger_file.cpp only.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

namespace pulsemeter {
class LedgerFile;
}

namespace pulsemeter::layout {

inline constexpr int newest = 4;

[[nodiscard]] bool is_empty(SQLite::Database& database);
[[nodiscard]] bool is_ledger(SQLite::Database& database);
[[nodiscard]] int number(SQLite::Database& database);

// Each in one transaction, and nothing if another process was faster.
void make_tables(SQLite::Database& database);
// From each layout that there was; seconds for a million readings. Others are left as they are.
void bring_up_to_date(LedgerFile& file);

} // namespace pulsemeter::layout
