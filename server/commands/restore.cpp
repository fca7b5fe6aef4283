#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "server/sqlite_ledger.hpp"
#include "server/time_text.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <memory>

namespace pulsemeter {
namespace {

struct RestoreOptions {
    std::optional<std::string> data;
    std::filesystem::path from;
    std::optional<std::filesystem::path> password_file;
    bool accept_damage = false;
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
    (void)SqliteLedger(backup.ledger(), LedgerAccess::copy);
}

// Of the seals too, if the password is there.
std::optional<std::string> find_fault(SqliteLedger& ledger, const DataFolder& backup,
                                      const RestoreOptions& options)
{
    if (!options.password_file)
        return ledger.find_change();
    const crypto::SecretText password = obtain_password(options.password_file);
    return ledger.verify(Keystore::open(backup.keystore(), password.text()).existing_audit_key()).fault;
}

// All that takes long or may fail, in a folder beside: what is left to do then are renames.
class Prepared {
public:
    Prepared(const DataFolder& backup, const DataFolder& target, const RestoreOptions& options)
        : Prepared(DataFolder(target.path() / "restoring"))
    {
        std::filesystem::remove_all(folder_.path()); // of one that was cut off
        make_private_folder(folder_.path());
        SqliteLedger(backup.ledger(), LedgerAccess::copy).copy_to(folder_.ledger());
        if (const auto damage = SqliteLedger(folder_.ledger(), LedgerAccess::copy).find_damage())
            refuse(backup, *damage);
        prepare_ledger(backup, options);
        write_secret_file(folder_.settings(), read_file(backup.settings()), Existing::refuse);
        write_secret_file(folder_.keystore(), read_secret_file(backup.keystore()), Existing::refuse);
    }
    ~Prepared()
    {
        std::error_code ignored;
        std::filesystem::remove_all(folder_.path(), ignored);
    }
    Prepared(const Prepared&) = delete;
    Prepared& operator=(const Prepared&) = delete;

    [[nodiscard]] bool is_damaged() const { return is_damaged_; }
    void move_to(const DataFolder& target) const
    {
        std::filesystem::rename(folder_.ledger(), target.ledger());
        std::filesystem::rename(folder_.settings(), target.settings());
        std::filesystem::rename(folder_.keystore(), target.keystore()); // last, as in init
        sync_folder(target.path());
    }

private:
    // Delegated to, so that the folder goes also when what follows fails.
    explicit Prepared(DataFolder folder) : folder_(std::move(folder)) {}

    [[noreturn]] static void refuse(const DataFolder& backup, const std::string& damage,
                                    std::string_view otherwise = "")
    {
        throw UsageError(fmt::format("the backup's ledger {} is damaged ({}): nothing was restored; take "
                                     "another backup{}",
                                     backup.ledger().string(), damage, otherwise));
    }

    // That of an older meter-server is brought up to date, the backup itself left as it is.
    void prepare_ledger(const DataFolder& backup, const RestoreOptions& options)
    {
        std::optional<SqliteLedger> ledger;
        try {
            ledger.emplace(folder_.ledger(), LedgerAccess::write);
        } catch (const UsageError& damaged) {
            refuse(backup, damaged.what());
        }
        if (const auto fault = find_fault(*ledger, backup, options); fault && options.accept_damage) {
            refuse_illegible(*ledger);
            log::warning("{} is damaged ({}): restored as it is; run wants --accept-damage, too",
                         backup.ledger().string(), *fault);
            is_damaged_ = true;
        } else if (fault) {
            refuse(backup, *fault, "; without one, --accept-damage restores it as it is");
        }
        ledger->note_restored(wall_time());
    }

    DataFolder folder_;
    bool is_damaged_ = false;
};

// What the folder holds is not deleted. Nothing if it holds nothing.
std::optional<std::filesystem::path> set_aside(const DataFolder& folder, WallTime now)
{
    std::string time = utc_text(now);
    std::replace(time.begin(), time.end(), ':', '-'); // the name is to be usable on every file system
    std::filesystem::path aside = folder.path() / ("replaced-" + time);
    for (int more = 2; std::filesystem::exists(std::filesystem::symlink_status(aside)); ++more)
        aside = folder.path() / fmt::format("replaced-{}-{}", time, more);
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
    if (made)
        sync_folder(*made);
    return made;
}

// Nothing if a server runs on the folder.
std::optional<FolderLock> lock_unless_served(const DataFolder& folder)
{
    try {
        return std::optional<FolderLock>(std::in_place, folder.path(), "meter-server");
    } catch (const UsageError& held) {
        return std::nullopt;
    }
}

// Nobody commits meanwhile: what a server that runs has confirmed is in the ledger that is set aside, and what it confirms
// next is in the new one.
std::optional<std::filesystem::path> replace(const DataFolder& folder, const Prepared& prepared)
{
    std::optional<std::filesystem::path> aside;
    const auto swap = [&] {
        aside = set_aside(folder, wall_time());
        prepared.move_to(folder);
    };
    const auto lock = lock_unless_served(folder);
    if (!lock && prepared.is_damaged()) {
        throw UsageError(
            fmt::format("a server runs on {}, and would not go on with a damaged ledger: stop it first",
                        folder.path().string()));
    }
    std::optional<SqliteLedger> old;
    try {
        if (std::filesystem::exists(folder.ledger()))
            old.emplace(folder.ledger(), LedgerAccess::write);
    } catch (const std::exception& damaged) { // which may be the reason for all this
        if (!lock) {
            throw UsageError(fmt::format("{}; a server runs on {}: stop it first", damaged.what(),
                                         folder.path().string()));
        }
    }
    if (old) {
        old->while_nobody_writes(swap);
    } else if (lock) {
        swap();
    } else {
        throw UsageError(
            fmt::format("{} has no ledger, and a server runs there: stop it first", folder.path().string()));
    }
    return aside;
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

    const auto aside = replace(folder, Prepared(backup, folder, options));
    const auto head = SqliteLedger(folder.ledger(), LedgerAccess::read).head();
    print(fmt::format("{} is restored; its head: {}\n{}Next: meter-server verify, and meter-server run if it "
                      "does not run; a running one goes on with it.\n",
                      folder.path().string(), head ? text(*head) : "none, no day is sealed",
                      aside ? fmt::format("What was there before is in {}.\n", aside->string()) : ""));
    return ExitCode::done;
}

} // namespace

void add_restore(Command& parent)
{
    auto options = std::make_shared<RestoreOptions>();
    Command command = parent.add_command(
        "restore",
        "Put a backup in the place of a folder, also beside a running server; what was there is set aside");
    command.add_option("--from", options->from, "The folder that backup made").takes("DIR").required();
    add_data_option(command, options->data);
    command
        .add_option("--password-file", options->password_file,
                    "The password of the backup's keys (mode 0600): its seals are checked first")
        .takes("FILE");
    command.add_flag("--accept-damage", options->accept_damage,
                     "Also a ledger whose readings are not what was stored; run then wants the same");
    command.does([options] { return restore(*options); });
}

} // namespace pulsemeter
