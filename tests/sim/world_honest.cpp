// The end of each world: nobody does any harm from here on, and everything must become equal.
#include "tests/sim/world.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter::sim {

using namespace std::chrono_literals;

namespace {

// A Hello that waits for its back-off, a ledger that does, a connection, and two intervals.
constexpr auto heals_within = 60s + 30s + 5s + 2 * 60s;
constexpr auto drains_within = 15min;
constexpr auto operator_needs = 12h; // held readings are sent again every hour
constexpr int most_turns_at_once = 100'000;

} // namespace

void World::repair_everything()
{
    tell_("the world turns honest");
    broker_.is_up = true;
    pulses_a_second_ = 0;
    for (Machine* machine : machines()) {
        machine->heal_disk();
        machine->cut_power_at(0, PowerLoss::dropped);
        machine->cut_power_around_commit(Cut::none, PowerLoss::dropped);
        if (machine->is_running())
            continue;
        if (auto* meter = dynamic_cast<MeterMachine*>(machine))
            meter->boot();
        machine->start();
        if (!machine->is_running())
            throw Violation{"a program does not start on a sound disk"};
    }
    for (const auto& meter : meters_)
        meter->flash(3);
}

void World::become_honest()
{
    repair_everything();
    const SteadyTime begin = clocks_.now;
    SteadyTime checked = begin;
    bool was_held = anything_is_held();
    bool healed = false;
    const bool patient = dice_.one_in(4);
    const std::chrono::milliseconds looks_every = patient ? 1h : 5min;
    std::chrono::milliseconds looked{};
    help_out(patient ? Help::resolve : Help::resolve_and_restart);
    for (int turns = 1;; ++turns) {
        broker_.deliver_all();
        run_due_machine();
        if (turns > most_turns_at_once)
            throw Violation{"a program is never done, and no time passes"};
        if (clocks_.now - checked < 1s)
            continue;
        checked = clocks_.now;
        turns = 0;
        const auto elapsed = std::chrono::ceil<std::chrono::milliseconds>(clocks_.now - begin);
        if (elapsed >= looked + looks_every) {
            looked = elapsed;
            help_out(Help::resolve_and_restart);
        }
        was_held = was_held || anything_is_held();
        const bool undisturbed =
            !was_held && std::none_of(meters_.begin(), meters_.end(), [&](const auto& meter) {
                return witness_.is_rolled_back(meter->id());
            });
        if (!healed && totals_are_equal()) {
            healed = true;
            if (undisturbed)
                healing_ = elapsed;
        }
        if (undisturbed && !healed && elapsed > heals_within)
            throw Violation{"the totals are not equal within two intervals: " + differences()};
        const std::string left = differences();
        if (left.empty())
            break;
        if (elapsed > (undisturbed ? std::chrono::milliseconds(drains_within) : operator_needs))
            throw Violation{"the world is honest again, and yet: " + left};
    }
    witness_.check_totals(server_->ledger());
    witness_.check_nothing_is_lost(server_->ledger());
    server_->check_audit();
}

bool World::totals_are_equal()
{
    return std::all_of(meters_.begin(), meters_.end(), [&](const auto& meter) {
        const auto stored = meter->store().load(meter->source());
        const State state = server_->ledger().state_for(meter->id(), meter->source());
        return stored && state.epoch == stored->epoch && state.total == stored->total;
    });
}

bool World::anything_is_held()
{
    return !server_->ledger().held().empty() ||
           std::any_of(meters_.begin(), meters_.end(), [](const auto& meter) {
               return meter->is_running() && meter->store().held_size() > 0;
           });
}

std::string World::differences()
{
    std::string found;
    for (const auto& meter : meters_) {
        const auto stored = meter->store().load(meter->source());
        const State state = server_->ledger().state_for(meter->id(), meter->source());
        const std::size_t held = meter->store().held_size();
        const std::size_t waiting = meter->store().outbox_size() - held;
        const bool may_hold = witness_.is_rolled_back(meter->id()); // a conflict stays one
        if (!stored || state.epoch != stored->epoch || state.total != stored->total)
            found += fmt::format("{}: the register is {} in epoch {}, the server has {} in epoch {}; ",
                                 meter->id().text(), stored ? stored->total.value : 0,
                                 stored ? stored->epoch.value : 0, state.total.value, state.epoch.value);
        if (waiting > 2 || (held > 0 && !may_hold))
            found += fmt::format("{}: {} readings still wait and {} are held; ", meter->id().text(), waiting,
                                 held);
    }
    return found;
}

// The operator accepts what is held, and starts meters again: one whose disk was an old one begins a new epoch, and what
// is held comes at once, not within the hour.
void World::help_out(Help help)
{
    for (const HeldReading& held : server_->ledger().held())
        server_->resolve(held, ServerMachine::Verdict::accept);
    for (const auto& meter : meters_) {
        const bool wants_it = witness_.is_rolled_back(meter->id()) || meter->store().held_size() > 0;
        if (help == Help::resolve || !wants_it)
            continue;
        meter->kill();
        settle();
        meter->start();
    }
}

void World::add_to(Sums& sums) const
{
    for (const auto& [name, count] : done_)
        sums.actions[name] += count;
    sums.readings_made += witness_.readings_made();
    sums.readings_counted += witness_.readings_counted();
    sums.longest_healing = std::max(sums.longest_healing, healing_);
}

} // namespace pulsemeter::sim
