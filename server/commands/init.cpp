#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct InitOptions {
    std::optional<std::string> data;
    std::optional<std::string> broker;
    std::optional<std::filesystem::path> password_file;
};

BrokerUrl chosen_broker(const std::optional<std::string>& option)
{
    if (option)
        return BrokerUrl::parse(*option);
    while (const auto answer = ask("The broker's URL (mqtt://HOST[:PORT], or mqtts:// for TLS): ")) {
        try {
            return BrokerUrl::parse(*answer);
        } catch (const UsageError& error) {
            log::warning("{}; try again, or end with Ctrl-C", error.what());
        }
    }
    throw UsageError(
        "which broker? Say --broker mqtt://HOST[:PORT]: none is a default, and there is no terminal to ask");
}

void refuse_initialised(const DataFolder& folder)
{
    if (folder.initialised()) {
        throw UsageError(fmt::format(
            "{} is a server's data folder already: nothing was changed. Settings are in {}; for a "
            "second server say --data DIR",
            folder.path().string(), folder.settings().string()));
    }
    refuse_lost_keystore(folder);
}

ExitCode init(const InitOptions& options)
{
    const DataFolder folder = chosen_folder(options.data);
    refuse_initialised(folder);
    const BrokerUrl broker = chosen_broker(options.broker);
    const crypto::SecretText password = obtain_new_password(options.password_file);

    make_private_folder(folder.path());
    const FolderLock lock(folder.path(), "meter-server");
    refuse_initialised(folder);
    write_secret_file(folder.settings(), initial_server_settings(broker), Existing::replace);
    (void)SqliteLedger(folder.ledger(), LedgerAccess::create);
    (void)Keystore::create(folder.keystore(), password.text()); // last: from here on the folder is complete

    print(fmt::format(
        "{} is ready; its settings (broker, price) are in {}.\n"
        "Next: meter-server meter add ID --out FILE, copy FILE to the Pi, and meter-server run.\n",
        folder.path().string(), folder.settings().string()));
    return ExitCode::done;
}

} // namespace

void add_init(Command& parent)
{
    auto options = std::make_shared<InitOptions>();
    Command command = parent.add_command("init", "Make the server's folder, its password and its settings");
    add_data_option(command, options->data);
    command
        .add_option("--broker", options->broker,
                    "The broker, mqtt://HOST[:PORT], or mqtts:// for TLS (default: ask)")
        .takes("URL");
    add_password_option(command, options->password_file);
    command.does([options] { return init(*options); });
}

} // namespace pulsemeter
