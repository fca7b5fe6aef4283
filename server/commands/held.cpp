#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/report.hpp"

#include <fmt/core.h>

#include <memory>

namespace pulsemeter {
namespace {

struct HeldOptions {
    std::optional<std::string> data;
    bool json = false;
    std::string id;
    std::optional<std::uint32_t> epoch;
    std::optional<std::uint64_t> sequence;
};

ExitCode held_list(const HeldOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const auto held = SqliteLedger(folder.ledger(), LedgerAccess::read).held();
    if (options.json) {
        print(report::held_json(held));
    } else if (held.empty()) {
        print("no reading is held\n");
    } else {
        print(report::held_table(held));
    }
    return ExitCode::done;
}

// The one that was named, or the only one there is: which of several is not for us to guess.
HeldKey chosen_reading(SqliteLedger& ledger, const MeterId& meter, const HeldOptions& options)
{
    if (options.epoch)
        return {meter, Epoch{*options.epoch}, Sequence{*options.sequence}};
    const auto held = ledger.held(meter);
    if (held.empty())
        throw UsageError(fmt::format("no reading of meter {} is held", meter.text()));
    if (held.size() > 1) {
        throw UsageError(
            fmt::format("{} readings of meter {} are held: say which with --epoch and --sequence (see "
                        "meter-server held list)",
                        held.size(), meter.text()));
    }
    return {meter, held.front().reading.epoch, held.front().reading.sequence};
}

using Decision = tl::expected<void, HeldError> (SqliteLedger::*)(const HeldKey&, WallTime);

ExitCode decide(const HeldOptions& options, Decision decision, std::string_view done)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterId meter = known_meter(folder, options.id);
    SqliteLedger ledger(folder.ledger(), LedgerAccess::write);
    const HeldKey key = chosen_reading(ledger, meter, options);
    const std::string name =
        fmt::format("reading {}/{} of meter {}", key.epoch.value, key.sequence.value, meter.text());
    if (const auto result = (ledger.*decision)(key, wall_time()); !result)
        throw UsageError(fmt::format("{}: {}", name, text(result.error())));
    print(fmt::format("{} {}\n", name, done));
    return ExitCode::done;
}

Command add_decision(Command& held, const std::shared_ptr<HeldOptions>& options, const char* name,
                     const char* description)
{
    Command command = held.add_command(name, description);
    command.add_option("ID", options->id, "The meter").required();
    add_data_option(command, options->data);
    Option epoch = command.add_option("--epoch", options->epoch, "Which one, if several are held").takes("E");
    Option sequence = command.add_option("--sequence", options->sequence, "… and its number").takes("S");
    epoch.needs(sequence);
    sequence.needs(epoch);
    return command;
}

} // namespace

void add_held(Command& parent)
{
    auto options = std::make_shared<HeldOptions>();
    Command held = parent.add_group("held", "Readings that were refused: list, accept or discard them");

    Command list = held.add_command("list", "Show what is held and why");
    add_data_option(list, options->data);
    list.add_flag("--json", options->json, "For scripts");
    list.does([options] { return held_list(*options); });

    Command accept =
        add_decision(held, options, "accept", "Take a held reading as it is; totals go on from it");
    accept.does(
        [options] { return decide(*options, &SqliteLedger::accept, "is accepted; totals go on from it"); });
    Command discard =
        add_decision(held, options, "discard", "Strike a held reading off; it is never counted");
    discard.does(
        [options] { return decide(*options, &SqliteLedger::discard, "is discarded; it will never count"); });
}

} // namespace pulsemeter
