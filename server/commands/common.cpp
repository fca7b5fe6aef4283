#include "server/commands/common.hpp"

#include "server/sqlite_ledger.hpp"
#include "shared/errors.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <random>
#include <system_error>

namespace pulsemeter {

void add_data_option(Command& command, std::optional<std::string>& data)
{
    command.add_option("--data", data, "The server's folder (default: pulsemeter in the XDG data folder)")
        .takes("DIR");
}

DataFolder chosen_folder(const std::optional<std::string>& data)
{
    if (data && data->empty())
        throw UsageError("--data: the folder's name is empty");
    if (data)
        return DataFolder(*data);
    if (auto folder = DataFolder::of_user())
        return *folder;
    throw UsageError("neither XDG_DATA_HOME nor HOME says where your data is: say --data DIR");
}

void refuse_lost_keystore(const DataFolder& folder)
{
    // An `init` that was interrupted leaves a ledger too, but an empty one.
    if (folder.initialised() || !std::filesystem::exists(folder.ledger()) ||
        SqliteLedger(folder.ledger(), LedgerAccess::read).events(1).empty())
        return;
    throw UsageError(
        fmt::format("{} is missing, but there are readings in {}: put back a backup of the keystore, "
                    "or move the folder away to begin anew (the meters then need new keys)",
                    folder.keystore().string(), folder.ledger().string()));
}

DataFolder initialised_folder(const std::optional<std::string>& data)
{
    DataFolder folder = chosen_folder(data);
    refuse_lost_keystore(folder);
    folder.require_initialised();
    return folder;
}

void add_password_option(Command& command, std::optional<std::filesystem::path>& file)
{
    command
        .add_option("--password-file", file,
                    "Read the password from FILE, mode 0600, instead of asking on the terminal")
        .takes("FILE");
}

MeterId parse_meter_id(const std::string& text)
{
    if (auto id = MeterId::parse(text))
        return *id;
    throw UsageError(
        fmt::format("\"{}\" is no meter id: 1 to {} characters of a-z, 0-9 and -", text, MeterId::longest));
}

namespace {

UsageError unknown_meter(const std::vector<MeterEntry>& meters, const std::string& text)
{
    std::string known;
    for (const MeterEntry& meter : meters)
        known += (known.empty() ? "" : ", ") + meter.id.text();
    return UsageError(
        fmt::format("there is no meter \"{}\"; {}", text,
                    known.empty() ? "add one with `meter-server meter add`" : "known: " + known));
}

} // namespace

MeterEntry served_meter(const DataFolder& folder, const std::string& text)
{
    const MeterId id = parse_meter_id(text);
    const auto meters = Keystore::list(folder.keystore());
    const auto found = std::ranges::find(meters, id, &MeterEntry::id);
    if (found == meters.end())
        throw unknown_meter(meters, text);
    return *found;
}

MeterId known_meter(const DataFolder& folder, const std::string& text)
{
    MeterId id = parse_meter_id(text);
    const auto meters = Keystore::list(folder.keystore());
    const auto in_the_ledger = SqliteLedger(folder.ledger(), LedgerAccess::read).meters();
    if (std::ranges::find(meters, id, &MeterEntry::id) == meters.end() &&
        std::ranges::find(in_the_ledger, id) == in_the_ledger.end())
        throw unknown_meter(meters, text);
    return id;
}

void put(std::string_view text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        throw std::system_error(errno, std::generic_category(), "writing to standard output");
}

void print(std::string_view text)
{
    put(text);
    if (std::fflush(stdout) != 0)
        throw std::system_error(errno, std::generic_category(), "writing to standard output");
}

void refuse_illegible(SqliteLedger& ledger)
{
    try {
        for (const MeterId& meter : ledger.meters())
            ledger.readings(meter, WallTime{}, [](const LedgerReading&) {});
    } catch (const std::exception& damaged) {
        throw UsageError(damaged.what());
    }
}

WallTime wall_time()
{
    return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::uint64_t random_number()
{
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
}

std::string random_client_id()
{
    return fmt::format("pulsemeter-server-{:016x}", random_number());
}

} // namespace pulsemeter
