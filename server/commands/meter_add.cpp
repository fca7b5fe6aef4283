#include "server/admission.hpp"
#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/meter_file.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

namespace pulsemeter {
namespace {

struct MeterAddOptions {
    std::optional<std::string> data;
    std::string id;
    std::uint32_t imp_per_kwh = 1000;
    std::uint32_t max_kw = default_max_kw;
    std::uint32_t interval_s = 10;
    std::optional<std::string> broker;
    std::filesystem::path out;
    std::optional<std::filesystem::path> password_file;
};

// Asked before the password is, so that nobody types it in vain. What decides is Keystore::add and the refusal to write
// over a file.
void refuse_what_cannot_be(const DataFolder& folder, const MeterId& id, const std::filesystem::path& out)
{
    const auto meters = Keystore::list(folder.keystore());
    if (std::any_of(meters.begin(), meters.end(), [&](const MeterEntry& meter) { return meter.id == id; })) {
        throw UsageError(fmt::format("there is a meter \"{}\" already: take another id", id.text()));
    }
    if (out.empty())
        throw UsageError("--out: the file's name is empty");
    std::error_code ignored;
    if (std::filesystem::symlink_status(out, ignored).type() != std::filesystem::file_type::not_found) {
        throw UsageError(
            fmt::format("{}: exists already and is not overwritten: name another file, or remove it first",
                        out.string()));
    }
    const std::filesystem::path place = out.has_parent_path() ? out.parent_path() : ".";
    if (::access(place.c_str(), W_OK | X_OK) != 0) {
        throw UsageError(
            fmt::format("{}: cannot be written: {}", out.string(), std::generic_category().message(errno)));
    }
}

// The file first: a meter whose key never reached a file could neither be set up nor be added again.
void write_file_and_key(Keystore& keystore, const MeterEntry& meter, const crypto::MasterKey& key,
                        const std::filesystem::path& out, const crypto::SecretText& content)
{
    write_secret_file(out, content.text(), Existing::refuse);
    try {
        keystore.add(meter, key);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(out, ignored);
        throw;
    }
}

ExitCode meter_add(const MeterAddOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterId id = parse_meter_id(options.id);
    BrokerSettings broker = read_server_settings(folder.settings()).broker;
    if (options.broker)
        broker.url = BrokerUrl::parse(*options.broker);
    refuse_what_cannot_be(folder, id, options.out);
    const crypto::SecretText password = obtain_password(options.password_file);
    Keystore keystore = Keystore::open(folder.keystore(), password.text());

    const MeterEntry meter{id, MeterConstant{options.imp_per_kwh}, options.max_kw,
                           std::chrono::floor<std::chrono::seconds>(wall_time())};
    const crypto::MasterKey key = crypto::MasterKey::random();
    const crypto::SecretText key_text(key.text());
    const crypto::SecretText content(text({.id = id,
                                           .key = key_text.text(),
                                           .constant = meter.constant,
                                           .max_kw = meter.max_kw,
                                           .interval = std::chrono::seconds(options.interval_s),
                                           .broker = broker}));
    write_file_and_key(keystore, meter, key, options.out, content);

    if (is_loopback(broker.url)) {
        log::warning("{} is this machine only: a Pi can't reach it. If the meter runs elsewhere, change the "
                     "broker's url in "
                     "{} there, or say --broker",
                     broker.url.text(), options.out.string());
    }
    print(fmt::format(
        "meter {} added. {} holds its key: copy it to the Pi (scp), start meter-pi run --config FILE there, "
        "and remove it here.\n",
        id.text(), options.out.string()));
    return ExitCode::done;
}

} // namespace

void add_meter_add(CLI::App& parent, Action& action)
{
    auto options = std::make_shared<MeterAddOptions>();
    CLI::App* command = parent.add_subcommand("add", "Make a meter's key and its whole configuration file");
    command->add_option("ID", options->id, "Its name: 1 to 32 characters of a-z, 0-9 and -")->required();
    command->add_option("--out", options->out, "Where to write its configuration; no such file may exist")
        ->option_text("FILE")
        ->required();
    add_data_option(*command, options->data);
    add_password_option(*command, options->password_file);
    command
        ->add_option("--imp-per-kwh", options->imp_per_kwh,
                     "Flashes a kWh, as printed on the meter (default 1000)")
        ->option_text("N")
        ->check(CLI::Range(1U, largest_imp_per_kwh));
    command
        ->add_option("--max-kw", options->max_kw, "The largest load; what rises faster is held (default 43)")
        ->option_text("N")
        ->check(CLI::Range(1U, 10'000U));
    command->add_option("--interval", options->interval_s, "Time between two readings (default 10)")
        ->option_text("SECONDS")
        ->check(CLI::Range(1U, 86'400U));
    command
        ->add_option("--broker", options->broker,
                     "The broker as the meter reaches it (default: the server's)")
        ->option_text("URL");
    command->callback([options, &action] { action = [options] { return meter_add(*options); }; });
}

} // namespace pulsemeter
