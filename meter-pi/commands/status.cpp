#include "meter-pi/commands/commands.hpp"
#include "meter-pi/kilowatt_hours.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "meter-pi/state_folder.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <memory>

namespace pulsemeter {
namespace {

struct StatusOptions {
    std::optional<std::string> state;
    bool json = false;
};

nlohmann::ordered_json as_json(const StoredRegister& stored)
{
    const RegisterValue value = value_of(stored);
    return {{"source", text(stored.source)},
            {"epoch", stored.epoch.value},
            {"sequence", stored.last.value},
            {"total_pulses", value.total.value},
            {"total_kwh", kilowatt_hours_text(energy(value))},
            {"imp_per_kwh", value.constant.imp_per_kwh},
            {"glitches", stored.quality.glitches},
            {"missed_edges", stored.quality.missed_edges},
            {"uncertain_pulses", stored.quality.uncertain}};
}

void print(const StoredRegister& stored)
{
    const RegisterValue value = value_of(stored);
    fmt::print("{} register: {} pulses at {} imp/kWh = {} kWh\n", text(stored.source), value.total.value,
               value.constant.imp_per_kwh, kilowatt_hours_text(energy(value)));
    if (stored.renewal)
        fmt::print("  set, the server hears of it in a new epoch\n");
    if (stored.epoch.value == 0) {
        fmt::print("  never greeted by a server yet\n");
    } else {
        fmt::print("  epoch {}, last reading {}\n", stored.epoch.value, stored.last.value);
    }
    fmt::print("  quality: {} glitches, {} edges missed by the kernel and healed, {} pulses uncertain\n",
               stored.quality.glitches, stored.quality.missed_edges, stored.quality.uncertain);
}

ExitCode status(const StatusOptions& options)
{
    SqliteMeterStore store(state_folder(options.state), StoreAccess::look);
    auto json = nlohmann::ordered_json{{"registers", nlohmann::json::array()},
                                       {"outbox", store.outbox_size()},
                                       {"held", store.held_size()},
                                       {"condition", store.condition()}};
    for (const Source source : {Source::measured, Source::simulated}) {
        const auto stored = store.load(source);
        if (stored && options.json) {
            json["registers"].push_back(as_json(*stored));
        } else if (stored) {
            print(*stored);
        }
    }
    if (options.json) {
        fmt::print("{}\n", json.dump());
        return ExitCode::done;
    }
    fmt::print("outbox: {} readings not confirmed, {} of them held (refused by the server)\n",
               store.outbox_size(), store.held_size());
    if (!store.condition().empty())
        fmt::print("at the last reading: {}\n", store.condition());
    return ExitCode::done;
}

} // namespace

void add_status(Command& parent)
{
    auto options = std::make_shared<StatusOptions>();
    Command command =
        parent.add_command("status", "Show the register and the outbox, also beside a running meter");
    command.add_option("--state", options->state, "The folder of the meter (default as in run)").takes("DIR");
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return status(*options); });
}

} // namespace pulsemeter
