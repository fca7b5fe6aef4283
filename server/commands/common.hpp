// What several subcommands share: arguments that are called and explained alike, standard output, the time.
#pragma once

#include "server/data_folder.hpp"
#include "server/keystore.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/command_line.hpp"
#include "shared/reading.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

// --data DIR; the value is to outlive the Program.
void add_data_option(Command& command, std::optional<std::string>& data);
[[nodiscard]] DataFolder chosen_folder(const std::optional<std::string>& data);      // for init
[[nodiscard]] DataFolder initialised_folder(const std::optional<std::string>& data); // for all others

// A ledger with readings but without the keystore is a loss, not a fresh start: UsageError that says so.
void refuse_lost_keystore(const DataFolder& folder);

void add_password_option(Command& command, std::optional<std::filesystem::path>& file);

[[nodiscard]] MeterId parse_meter_id(const std::string& text); // UsageError that says what an id looks like
// … or which ones there are: of those that the server has keys of,
[[nodiscard]] MeterEntry served_meter(const DataFolder& folder, const std::string& text);
// and of those that were removed and have a past in the ledger, too.
[[nodiscard]] MeterId known_meter(const DataFolder& folder, const std::string& text);

// To standard output; throws if it can't be written: a script must not take half an answer for the whole one.
void put(std::string_view text);   // part of an answer
void print(std::string_view text); // the end of it: on its way when this returns

// Where damage is gone on with: a row that is no reading any more would stop every meter. UsageError that says so.
void refuse_illegible(SqliteLedger& ledger);

[[nodiscard]] WallTime wall_time();

[[nodiscard]] std::uint64_t random_number();
[[nodiscard]] std::string random_client_id(); // of its own for each run, so that none takes another's place

} // namespace pulsemeter
