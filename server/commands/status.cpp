#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/report.hpp"
#include "server/server_settings.hpp"

#include <algorithm>
#include <memory>

namespace pulsemeter {
namespace {

struct StatusOptions {
    std::optional<std::string> data;
    bool json = false;
};

ExitCode status(const StatusOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const ServerSettings settings = read_server_settings(folder.settings());
    SqliteLedger ledger(folder.ledger(), LedgerAccess::read);
    std::vector<report::MeterStatus> meters;
    for (const MeterEntry& meter : Keystore::list(folder.keystore()))
        meters.push_back({meter.id, ledger.summary(meter.id), meter.wire()});
    for (const MeterId& id : ledger.meters()) { // those that were removed have a past
        if (std::ranges::find(meters, id, &report::MeterStatus::id) != meters.end())
            continue;
        if (auto summary = ledger.summary(id))
            meters.push_back({id, std::move(summary), std::nullopt});
    }

    const WallTime now = wall_time();
    const auto alarms = ledger.alarms(now - report::alarms_shown);
    if (options.json) {
        print(report::status_json(meters, alarms, settings.tariff, now));
    } else if (meters.empty()) {
        print("no meter yet: meter-server meter add ID --out FILE\n");
    } else {
        print(report::status_table(meters, settings.tariff, now) + report::alarms_text(alarms));
    }
    return ExitCode::done;
}

} // namespace

void add_status(Command& parent)
{
    auto options = std::make_shared<StatusOptions>();
    Command command = parent.add_command("status", "Show each meter's totals, also beside a running server");
    add_data_option(command, options->data);
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return status(*options); });
}

} // namespace pulsemeter
