#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/sqlite_ledger.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct MeterRemoveOptions {
    std::optional<std::string> data;
    std::string id;
    std::optional<std::filesystem::path> password_file;
};

ExitCode meter_remove(const MeterRemoveOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterId id =
        served_meter(folder, options.id).id; // before the password, so that nobody types it in vain
    const crypto::SecretText password = obtain_password(options.password_file);
    Keystore::open(folder.keystore(), password.text()).remove(id);

    const bool has_past = SqliteLedger(folder.ledger(), LedgerAccess::read).summary(id).has_value();
    print(fmt::format(
        "meter {} removed: its key is gone, and a running server stops serving it within two seconds. "
        "{}; `meter-server meter add {}` makes a new key for it.\n",
        id.text(),
        has_past ? "Its readings stay in the ledger (meter-server readings " + id.text() + ")"
                 : "The ledger has no reading of it",
        id.text()));
    return ExitCode::done;
}

} // namespace

void add_meter_remove(Command& parent)
{
    auto options = std::make_shared<MeterRemoveOptions>();
    Command command =
        parent.add_command("remove", "Delete a meter's key and serve it no more; its readings stay");
    command.add_option("ID", options->id, "The meter").required();
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command.does([options] { return meter_remove(*options); });
}

} // namespace pulsemeter
