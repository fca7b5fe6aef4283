#include "meter-pi/commands/commands.hpp"
#include "meter-pi/kilowatt_hours.hpp"
#include "meter-pi/meter_settings.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "meter-pi/state_folder.hpp"
#include "shared/files.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace pulsemeter {
namespace {

struct ShowOptions {
    std::optional<std::string> state;
    bool json = false;
};

struct SetOptions {
    std::string config;
    std::optional<std::string> state;
    std::string display;
    bool swapped = false;
    bool simulated = false;
};

nlohmann::ordered_json as_json(const StoredRegister& stored)
{
    const RegisterValue value = value_of(stored);
    return {{"source", text(stored.source)},
            {"kwh", kilowatt_hours_text(energy(value))},
            {"start_kwh", kilowatt_hours_text(value.start)},
            {"pulses", value.total.value},
            {"imp_per_kwh", value.constant.imp_per_kwh},
            {"epoch", stored.epoch.value},
            {"last_sequence", stored.last.value},
            {"waits_for_new_epoch", stored.renewal.has_value()}};
}

std::string epoch_words(const StoredRegister& stored)
{
    if (stored.renewal)
        return "a new epoch begins when the server greets the meter next";
    if (stored.epoch.value == 0)
        return "no server has greeted it yet";
    return fmt::format("epoch {}, last reading {}", stored.epoch.value, stored.last.value);
}

std::string as_text(const StoredRegister& stored)
{
    const RegisterValue value = value_of(stored);
    return fmt::format("{} register: {} kWh = {} kWh at its start + {} pulses at {} imp/kWh; {}\n",
                       text(stored.source), kilowatt_hours_text(energy(value)),
                       kilowatt_hours_text(value.start), value.total.value, value.constant.imp_per_kwh,
                       epoch_words(stored));
}

ExitCode show(const ShowOptions& options)
{
    SqliteMeterStore store(state_folder(options.state), StoreAccess::look);
    auto registers = nlohmann::ordered_json::array();
    std::string lines;
    for (const Source source : {Source::measured, Source::simulated}) {
        if (const auto stored = store.load(source)) {
            registers.push_back(as_json(*stored));
            lines += as_text(*stored);
        }
    }
    if (options.json) {
        fmt::print("{}\n", nlohmann::ordered_json{{"registers", registers}}.dump());
    } else {
        fmt::print("{}", lines.empty() ? "no register yet\n" : lines);
    }
    return ExitCode::done;
}

MilliwattHours display_of(const SetOptions& options)
{
    if (const auto display = parse_kilowatt_hours(options.display))
        return *display;
    throw UsageError(
        fmt::format("--kwh {}: the number on the meter's display is wanted, in kWh with a point and at "
                    "most six decimals, such as 12345.678",
                    options.display));
}

ExitCode set(const SetOptions& options)
{
    const MilliwattHours display = display_of(options);
    const MeterSettings settings = read_meter_settings(options.config);
    if (settings.classic) {
        throw UsageError(
            "on the classic wire the total is all there is, and it may not be set: its peer would take a "
            "jump for energy");
    }
    const std::filesystem::path folder = state_folder(options.state);
    make_private_folder(folder);
    become_owner_of(folder);
    const FolderLock lock(folder, "meter-pi");
    SqliteMeterStore store(folder, StoreAccess::own);
    store.claim(owner_text(settings));

    const Source source = options.simulated ? Source::simulated : Source::measured;
    const StoredRegister before =
        store.load(source).value_or(StoredRegister{.source = source, .constant = settings.constant});
    const auto after = set_register(before, display, settings.constant,
                                    options.swapped ? MeterChange::another_meter : MeterChange::same_meter);
    if (!after) {
        throw UsageError(fmt::format("the register was set before and has counted {} pulses since, which the "
                                     "server has not heard of: let "
                                     "`meter-pi run` reach the server once, then set it again",
                                     before.renewal->total.value));
    }
    (void)store.commit({.register_now = *after, .condition = store.condition()});
    fmt::print("before: {}now:    {}", as_text(before), as_text(*after));
    return ExitCode::done;
}

void add_state_option(Command& command, std::optional<std::string>& state)
{
    command.add_option("--state", state, "The folder of the meter (default as in run)").takes("DIR");
}

void add_show(Command& parent)
{
    auto options = std::make_shared<ShowOptions>();
    Command command = parent.add_command("show", "Show the register, also beside a running meter");
    add_state_option(command, options->state);
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return show(*options); });
}

void add_set(Command& parent)
{
    auto options = std::make_shared<SetOptions>();
    Command command = parent.add_command(
        "set", "Set it to the number on the meter's own display; not while the meter runs");
    command
        .add_option("--config", options->config,
                    "The meter's configuration, with the imp_per_kwh that holds now")
        .takes("FILE")
        .required();
    command.add_option("--kwh", options->display, "The number on the display, for example 12345.678")
        .takes("NUMBER")
        .required();
    command.add_flag("--swap", options->swapped, "Another meter was put in the old one's place");
    command.add_flag("--simulated", options->simulated, "The simulated register, to try this out");
    add_state_option(command, options->state);
    command.does([options] { return set(*options); });
}

} // namespace

void add_register(Command& parent)
{
    Command command = parent.add_group("register", "Show or set the register");
    add_show(command);
    add_set(command);
}

} // namespace pulsemeter
