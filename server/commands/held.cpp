#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/report.hpp"

#include <CLI/CLI.hpp>
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

CLI::App* add_decision(CLI::App& held, const std::shared_ptr<HeldOptions>& options, const char* name,
                       const char* description)
{
    CLI::App* command = held.add_subcommand(name, description);
    command->add_option("ID", options->id, "The meter")->required();
    add_data_option(*command, options->data);
    CLI::Option* epoch =
        command->add_option("--epoch", options->epoch, "Which one, if several are held")->option_text("E");
    CLI::Option* sequence =
        command->add_option("--sequence", options->sequence, "… and its number")->option_text("S");
    epoch->needs(sequence);
    sequence->needs(epoch);
    return command;
}

} // namespace

void add_held(CLI::App& parent, Action& action)
{
    auto options = std::make_shared<HeldOptions>();
    CLI::App* held =
        parent.add_subcommand("held", "Readings that were refused: list, accept or discard them");
    held->require_subcommand(1);

    CLI::App* list = held->add_subcommand("list", "Show what is held and why");
    add_data_option(*list, options->data);
    list->add_flag("--json", options->json, "For scripts");
    list->callback([options, &action] { action = [options] { return held_list(*options); }; });

    CLI::App* accept =
        add_decision(*held, options, "accept", "Take a held reading as it is; totals go on from it");
    accept->callback([options, &action] {
        action = [options] {
            return decide(*options, &SqliteLedger::accept, "is accepted; totals go on from it");
        };
    });
    CLI::App* discard =
        add_decision(*held, options, "discard", "Strike a held reading off; it is never counted");
    discard->callback([options, &action] {
        action = [options] {
            return decide(*options, &SqliteLedger::discard, "is discarded; it will never count");
        };
    });
}

} // namespace pulsemeter
