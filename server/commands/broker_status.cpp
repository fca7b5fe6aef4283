#include "server/broker_figures.hpp"
#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/server_settings.hpp"
#include "shared/event_loop.hpp"
#include "shared/paho_message_bus.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace pulsemeter {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds figures_within{
    3}; // they are retained: a broker that has them sends them at once
constexpr std::chrono::milliseconds quiet_for{500};

struct BrokerStatusOptions {
    std::optional<std::string> data;
    bool json = false;
};

// What the broker says within the time that it is given. Throws with the reason if there is no connection.
BrokerFigures asked(MessageBus& bus, EventLoop& loop)
{
    BrokerFigures figures;
    bus.subscribe("$SYS/#");
    auto end = steady_clock::time_point::max();
    while (!loop.stop_requested() && steady_clock::now() < end) {
        loop.wait_until(std::min(bus.tick(steady_clock::now()), end));
        for (const BusEvent& event : bus.take()) {
            if (const auto* loss = std::get_if<Disconnected>(&event)) {
                if (loss->loss != Loss::all_topics_refused)
                    throw std::runtime_error(loss->reason);
                figures.note_refusal(); // it works, and took us in
                return figures;
            }
            if (std::holds_alternative<Connected>(event))
                end = steady_clock::now() + figures_within;
            if (const auto* message = std::get_if<Received>(&event))
                figures.note(message->topic, message->payload);
        }
        if (end != steady_clock::time_point::max() && !figures.empty())
            end = std::min(end, steady_clock::now() + quiet_for);
    }
    return figures;
}

ExitCode broker_status(const BrokerStatusOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const BrokerSettings settings = read_server_settings(folder.settings()).broker;
    const std::string url = settings.url.text();
    EventLoop loop;
    PahoMessageBus bus(settings, random_client_id(), random_number(), [&loop] { loop.wake(); });
    const BrokerFigures figures = asked(bus, loop);
    bus.close();

    if (options.json) {
        print(figures.json(url));
    } else if (figures.refused()) {
        print(
            fmt::format("connected to {}, which keeps its $SYS figures to itself: its access list forbids us "
                        "to read $SYS/#\n",
                        url));
    } else if (figures.empty()) {
        print(fmt::format(
            "connected to {}, which gives no $SYS figures (not every broker has them, or lets everybody "
            "see them)\n",
            url));
    } else {
        print(fmt::format("connected to {}\n{}", url, figures.table()));
    }
    return ExitCode::done;
}

} // namespace

void add_broker_status(Command& parent)
{
    auto options = std::make_shared<BrokerStatusOptions>();
    Command command =
        parent.add_command("status", "Connect as the server does and show the broker's own figures");
    add_data_option(command, options->data);
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return broker_status(*options); });
}

} // namespace pulsemeter
