#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/server_settings.hpp"
#include "server/sqlite_ledger.hpp"
#include "server/time_text.hpp"
#include "shared/files.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <memory>

namespace pulsemeter {
namespace {

struct RestoreOptions {
    std::optional<std::string> data;
    std::filesystem::path from;
};

// Everything that could be wrong with the backup, before anything of the folder is touched.
void check(const DataFolder& backup)
{
    if (!backup.initialised()) {
        throw UsageError(fmt::format("{} is no complete backup: it has no {}", backup.path().string(),
                                     backup.keystore().filename().string()));
    }
    (void)Keystore::list(backup.keystore());
    (void)read_server_settings(backup.settings());
    (void)SqliteLedger(backup.ledger(), LedgerAccess::read).head();
}

// What the folder holds is not deleted. Nothing if it holds nothing.
std::optional<std::filesystem::path> set_aside(const DataFolder& folder, WallTime now)
{
    std::string time = utc_text(now);
    std::replace(time.begin(), time.end(), ':', '-'); // the name is to be usable on every file system
    const std::filesystem::path aside = folder.path() / ("replaced-" + time);
    std::optional<std::filesystem::path> made;
    // The keystore first: from then on the folder says that it is incomplete.
    for (const auto& file : {folder.keystore(), folder.settings(), folder.ledger(),
                             std::filesystem::path(folder.ledger().string() + "-wal"),
                             std::filesystem::path(folder.ledger().string() + "-shm")}) {
        if (!std::filesystem::exists(std::filesystem::symlink_status(file)))
            continue;
        if (!made) {
            make_private_folder(aside);
            made = aside;
        }
        std::filesystem::rename(file, aside / file.filename());
    }
    return made;
}

ExitCode restore(const RestoreOptions& options)
{
    const DataFolder folder = chosen_folder(options.data);
    const DataFolder backup(options.from);
    check(backup);
    make_private_folder(folder.path());
    std::error_code ignored;
    if (std::filesystem::equivalent(folder.path(), backup.path(), ignored))
        throw UsageError(fmt::format("{} can't be restored from itself", folder.path().string()));
    const FolderLock lock(folder.path(), "meter-server");

    const auto aside = set_aside(folder, wall_time());
    SqliteLedger(backup.ledger(), LedgerAccess::read).copy_to(folder.ledger());
    SqliteLedger ledger(folder.ledger(), LedgerAccess::write);
    ledger.note_restored(wall_time());
    write_secret_file(folder.settings(), read_file(backup.settings()), Existing::refuse);
    write_secret_file(folder.keystore(), read_secret_file(backup.keystore()),
                      Existing::refuse); // last, as in init

    const auto head = ledger.head();
    print(fmt::format("{} is restored; its head: {}\n{}Next: meter-server verify, then meter-server run.\n",
                      folder.path().string(), head ? text(*head) : "none, no day is sealed",
                      aside ? fmt::format("What was there before is in {}.\n", aside->string()) : ""));
    return ExitCode::done;
}

} // namespace

void add_restore(CLI::App& parent, Action& action)
{
    auto options = std::make_shared<RestoreOptions>();
    CLI::App* command = parent.add_subcommand(
        "restore",
        "Put a backup in the place of a folder whose server does not run; what was there is set aside");
    command->add_option("--from", options->from, "The folder that backup made")
        ->option_text("DIR")
        ->required();
    add_data_option(*command, options->data);
    command->callback([options, &action] { action = [options] { return restore(*options); }; });
}

} // namespace pulsemeter
