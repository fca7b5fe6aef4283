#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace pulsemeter {
namespace {

struct BackupOptions {
    std::optional<std::string> data;
    std::filesystem::path out;
};

void make_new_folder(const std::filesystem::path& out)
{
    if (::mkdir(out.c_str(), 0700) == 0)
        return;
    if (errno == EEXIST) {
        throw UsageError(
            fmt::format("{}: exists already and is not overwritten: name another folder, or remove it first",
                        out.string()));
    }
    throw UsageError(fmt::format("{}: the folder cannot be made: {}", out.string(),
                                 std::generic_category().message(errno)));
}

// The ledger before the keys: a meter that is added meanwhile has its key in the backup, and no reading yet. The
// keystore last of all: from then on the folder is complete.
void copy(const DataFolder& from, const DataFolder& to)
{
    SqliteLedger(from.ledger(), LedgerAccess::read).copy_to(to.ledger());
    write_secret_file(to.settings(), read_file(from.settings()), Existing::refuse);
    write_secret_file(to.keystore(), read_secret_file(from.keystore()), Existing::refuse);
}

ExitCode backup(const BackupOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    make_new_folder(options.out);
    const DataFolder copied(options.out);
    try {
        copy(folder, copied);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove_all(options.out, ignored); // it was made here, a moment ago
        throw;
    }
    SqliteLedger ledger(copied.ledger(), LedgerAccess::read);
    if (const auto change = ledger.find_change())
        log::warning("the ledger is damaged, and so is its copy ({}): keep the backups that you have",
                     *change);
    const auto head = ledger.head();
    print(fmt::format("{} holds the ledger, the keys and the settings. Note its head elsewhere: {}\n",
                      options.out.string(), head ? text(*head) : "none yet, no day is sealed"));
    return ExitCode::done;
}

} // namespace

void add_backup(Command& parent)
{
    auto options = std::make_shared<BackupOptions>();
    Command command = parent.add_command(
        "backup", "Copy ledger, keys and settings to a new folder, also beside a running server");
    command.add_option("--out", options->out, "The folder to make; it may not exist").takes("DIR").required();
    add_data_option(command, options->data);
    command.does([options] { return backup(*options); });
}

} // namespace pulsemeter
