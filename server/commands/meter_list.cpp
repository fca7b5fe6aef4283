#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/report.hpp"

#include <memory>

namespace pulsemeter {
namespace {

struct MeterListOptions {
    std::optional<std::string> data;
    bool json = false;
};

ExitCode meter_list(const MeterListOptions& options)
{
    const auto meters = Keystore::list(initialised_folder(options.data).keystore());
    if (options.json) {
        print(report::meters_json(meters));
    } else if (meters.empty()) {
        print("no meter yet: meter-server meter add ID --out FILE\n");
    } else {
        print(report::meters_table(meters));
    }
    return ExitCode::done;
}

} // namespace

void add_meter_list(Command& parent)
{
    auto options = std::make_shared<MeterListOptions>();
    Command command = parent.add_command("list", "The meters that this server has keys of");
    add_data_option(command, options->data);
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return meter_list(*options); });
}

} // namespace pulsemeter
