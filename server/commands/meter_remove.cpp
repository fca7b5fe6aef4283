#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/shell_command.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct MeterRemoveOptions {
    std::optional<std::string> data;
    std::string id;
    std::optional<std::filesystem::path> password_file;
};

// A classic meter's register is the total that the broker keeps; on the sealed wire it is on the meter's own disk.
std::string what_the_broker_keeps(const DataFolder& folder, const MeterEntry& meter)
{
    if (!meter.classic)
        return "";
    const std::string& topic = meter.classic->up;
    return fmt::format(
        "The broker goes on keeping the last total on {}, and a meter that is added later on the same "
        "topics would be told that total. If none is to go on from it, stop this meter, then clear the topic "
        "(the user must be allowed to publish there): `{}`\n",
        topic, clearing_command(read_server_settings(folder.settings()).broker, topic));
}

ExitCode meter_remove(const MeterRemoveOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    // Before the password, so that nobody types it in vain.
    const MeterEntry meter = served_meter(folder, options.id);
    const std::string kept = what_the_broker_keeps(folder, meter);
    const crypto::SecretText password = obtain_password(options.password_file);
    Keystore::open(folder.keystore(), password.text()).remove(meter.id);

    // First what is done: where the ledger is damaged, the rest is not said.
    print(fmt::format(
        "meter {} removed: its key is gone, and a running server stops serving it within two seconds; "
        "`meter-server meter add {}` makes a new key for it.\n{}",
        meter.id.text(), meter.id.text(), kept));
    const bool has_past = SqliteLedger(folder.ledger(), LedgerAccess::read).summary(meter.id).has_value();
    print(has_past ? "Its readings stay in the ledger (meter-server readings " + meter.id.text() + ").\n"
                   : "The ledger has no reading of it.\n");
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
