#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/report.hpp"
#include "server/time_text.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct ReadingsOptions {
    std::optional<std::string> data;
    std::string id;
    std::optional<std::string> since;
    bool json = false;
    bool csv = false;
};

WallTime since(const ReadingsOptions& options)
{
    if (!options.since)
        return WallTime{};
    if (const auto time = parse_time(*options.since))
        return *time;
    throw UsageError(
        fmt::format("--since {}: an ISO 8601 date or time is wanted, such as 2026-01-31, 2026-01-31T18:30 "
                    "(local time) or 2026-01-31T17:30:00Z",
                    *options.since));
}

ExitCode readings(const ReadingsOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterId meter = known_meter(folder, options.id);
    const WallTime first = since(options);
    SqliteLedger ledger(folder.ledger(), LedgerAccess::read);
    if (options.json) {
        std::string_view before = "{\"readings\":[\n";
        ledger.readings(meter, first, [&](const LedgerReading& row) {
            put(before);
            put(report::reading_json(row));
            before = ",\n";
        });
        print(before.front() == '{' ? "{\"readings\":[]}\n" : "\n]}\n");
        return ExitCode::done;
    }
    if (options.csv)
        put(fmt::format("{}\n", report::csv_header));
    ledger.readings(meter, first, [&](const LedgerReading& row) {
        put((options.csv ? report::reading_csv(row) : report::reading_row(row)) + "\n");
    });
    print("");
    return ExitCode::done;
}

} // namespace

void add_readings(Command& parent)
{
    auto options = std::make_shared<ReadingsOptions>();
    Command command =
        parent.add_command("readings", "List a meter's readings, oldest first, also beside a running server");
    command.add_option("ID", options->id, "The meter").required();
    add_data_option(command, options->data);
    command
        .add_option(
            "--since", options->since,
            "Only those measured then or later: ISO 8601, local time unless it ends in Z or an offset")
        .takes("TIME");
    Option json = command.add_flag("--json", options->json, "For scripts");
    command.add_flag("--csv", options->csv, "For spreadsheets").excludes(json);
    command.does([options] { return readings(*options); });
}

} // namespace pulsemeter
