#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "server/traffic.hpp"
#include "shared/event_loop.hpp"
#include "shared/harmless.hpp"
#include "shared/log.hpp"
#include "shared/paho_message_bus.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::minutes trouble_told_every{1};

struct BrokerListenOptions {
    std::optional<std::string> data;
    std::string filter;
    std::optional<std::filesystem::path> password_file;
    bool sealed = false;
};

// The meters' keys, unless nothing is to be opened.
std::optional<Traffic> known_traffic(const DataFolder& folder, const BrokerListenOptions& options)
{
    if (options.sealed)
        return std::nullopt;
    const crypto::SecretText password = obtain_password(options.password_file);
    const Keystore keystore = Keystore::open(folder.keystore(), password.text());
    Traffic traffic;
    for (const MeterEntry& meter : keystore.meters()) {
        const crypto::MasterKey& key = keystore.key(meter.id);
        if (meter.classic) {
            traffic.add_meter(meter.id, crypto::FernetKey(key.bytes()), *meter.classic);
        } else {
            traffic.add_meter(meter.id, crypto::derive(key, meter.id));
        }
    }
    return traffic;
}

std::string quoted(const std::string& filter)
{
    constexpr std::size_t longest_shown = 200;
    return "\"" + escaped(filter.substr(0, longest_shown)) + "\"";
}

void listen(MessageBus& bus, EventLoop& loop, std::optional<Traffic>& traffic, const std::string& filter,
            const std::string& url)
{
    bool was_taken = false;
    auto next_trouble_told = steady_clock::time_point::min();
    while (!loop.stop_requested()) {
        loop.wait_until(bus.tick(steady_clock::now()));
        std::string lines;
        for (const BusEvent& event : bus.take()) {
            if (const auto* message = std::get_if<Received>(&event)) {
                lines += traffic ? traffic->line(*message, wall_time())
                                 : Traffic::sealed_line(*message, wall_time());
            } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
                if (loss->loss == Loss::topic_not_taken && !was_taken) {
                    throw UsageError(
                        fmt::format("the broker does not take the filter {} ({}): name another one",
                                    quoted(filter), loss->reason));
                }
                if (steady_clock::now() >= next_trouble_told) {
                    log::warning("{}; trying again", loss->reason);
                    next_trouble_told = steady_clock::now() + trouble_told_every;
                }
            } else if (std::holds_alternative<Connected>(event)) {
                was_taken = true;
                log::info("listening to {} on {}; Enter or Ctrl-C ends", filter, url);
            }
        }
        if (!lines.empty())
            print(lines);
    }
}

ExitCode broker_listen(const BrokerListenOptions& options)
{
    if (const auto why = why_no_filter(options.filter)) {
        throw UsageError(fmt::format(
            "{} is no topic filter for this: {}; # is everything, house/+/power one level of any name",
            quoted(options.filter), *why));
    }
    const DataFolder folder = initialised_folder(options.data);
    const BrokerSettings settings = read_server_settings(folder.settings()).broker;
    std::optional<Traffic> traffic = known_traffic(folder, options);

    EventLoop loop;
    loop.stop_on_enter();
    PahoMessageBus bus(settings, random_client_id(), random_number(), [&loop] { loop.wake(); });
    bus.subscribe(options.filter);
    listen(bus, loop, traffic, options.filter, settings.url.text());
    bus.close();
    return ExitCode::done;
}

} // namespace

void add_broker_listen(Command& parent)
{
    auto options = std::make_shared<BrokerListenOptions>();
    Command command = parent.add_command(
        "listen", "Print what passes, opened where it is ours, until Enter, Ctrl-C or SIGTERM");
    command
        .add_option("FILTER", options->filter,
                    "Topics: '#' for all, '+' for one level of any name (in quotes)")
        .required();
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command.add_flag("--sealed", options->sealed, "Open nothing and ask for no password");
    command.does([options] { return broker_listen(*options); });
}

} // namespace pulsemeter
