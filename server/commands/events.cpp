#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/report.hpp"

#include <algorithm>
#include <memory>

namespace pulsemeter {
namespace {

struct EventsOptions {
    std::optional<std::string> data;
    std::optional<std::string> id;
    std::size_t most = 50;
    bool json = false;
};

ExitCode events(const EventsOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const auto meter = options.id ? std::optional(known_meter(folder, *options.id)) : std::nullopt;
    auto found = SqliteLedger(folder.ledger(), LedgerAccess::read).events(options.most, meter);
    std::reverse(found.begin(), found.end());
    std::string_view before = options.json ? "{\"events\":[\n" : "";
    for (const LedgerEvent& event : found) {
        put(before);
        put(options.json ? report::event_json(event) : report::event_row(event));
        before = options.json ? ",\n" : "\n";
    }
    if (found.empty()) {
        print(options.json ? "{\"events\":[]}\n" : "no event yet\n");
    } else {
        print(options.json ? "\n]}\n" : "\n");
    }
    return ExitCode::done;
}

} // namespace

void add_events(Command& parent)
{
    auto options = std::make_shared<EventsOptions>();
    Command command = parent.add_command(
        "events", "List what happened beside readings: epochs, alarms, what you decided; the "
                  "newest last, also beside a running server");
    command.add_option("ID", options->id, "Only of that meter");
    add_data_option(command, options->data);
    command.add_option("--most", options->most, "So many of the newest (50)")
        .within(1, SqliteLedger::most_events)
        .takes("N");
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return events(*options); });
}

} // namespace pulsemeter
