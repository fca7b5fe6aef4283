#include "tests/sim/world.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace pulsemeter::sim {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

milliseconds up_to(Dice& dice, milliseconds most)
{
    return milliseconds(dice.between(0, static_cast<std::uint64_t>(most.count())));
}

} // namespace

World::World(std::uint64_t seed, const std::filesystem::path& folder,
             std::function<void(const std::string&)> tell)
    : dice_(seed), folder_(folder), tell_(std::move(tell)), broker_(dice_.next())
{
    constexpr std::array names{"hall", "cellar", "solar"};
    constexpr std::array<std::size_t, 3> limits{20, 100, 1'000};
    constexpr std::array intervals{10s, 10s, 60s};
    const std::size_t count = dice_.between(1, names.size());
    std::vector<ServedMeter> served;
    for (std::size_t place = 0; place < count; ++place) {
        const MeterId id = *MeterId::parse(names.at(place));
        const MeterMachine::Plan plan{
            .interval = intervals.at(dice_.index(intervals.size())),
            .outbox_limit = limits.at(dice_.index(limits.size())),
            .line = static_cast<MeterMachine::Plan::Line>(dice_.index(3)),
        };
        meters_.push_back(std::make_unique<MeterMachine>(id, folder / id.text(), clocks_, broker_, witness_,
                                                         plan, dice_.next()));
        if (dice_.one_in(2))
            meters_.back()->fit_sensor();
        served.push_back({id, meters_.back()->keys(), default_max_kw});
        witness_.pulses(id, Source::measured, 0);
    }
    server_ =
        std::make_unique<ServerMachine>(folder / "server", clocks_, broker_, witness_, served, dice_.next());
    pulses_a_second_ = dice_.between(0, 8);

    add("turn", Kind::usual, 500, &World::turn);
    add("pass", Kind::usual, 60, &World::pass);
    add("deliver", Kind::usual, 400, &World::deliver);
    add("power up", Kind::usual, 30, &World::power_up);
    add("start the broker", Kind::usual, 10, &World::start_broker);
    add("heal a disk", Kind::usual, 10, &World::heal_disk);
    add("drop", Kind::adverse, 30, &World::drop);
    add("duplicate", Kind::adverse, 30, &World::duplicate);
    add("reorder", Kind::adverse, 60, &World::reorder);
    add("replay", Kind::adverse, 40, &World::replay);
    add("swap", Kind::adverse, 20, &World::swap);
    add("corrupt", Kind::adverse, 20, &World::corrupt);
    add("junk", Kind::adverse, 5, &World::junk);
    add("clear retained", Kind::adverse, 5, &World::clear_retained);
    add("replace retained", Kind::adverse, 5, &World::replace_retained);
    add("amnesia", Kind::adverse, 3, &World::amnesia);
    add("disconnect", Kind::adverse, 8, &World::disconnect);
    add("stop the broker", Kind::adverse, 3, &World::stop_broker);
    add("cut", Kind::adverse, 12, &World::cut);
    add("kill", Kind::adverse, 6, &World::kill);
    add("fail a disk", Kind::adverse, 5, &World::fail_disk);
    add("step a clock", Kind::adverse, 5, &World::step_clock);
    add("take an image", Kind::adverse, 4, &World::take_image);
    add("put an image back", Kind::adverse, 2, &World::put_image_back);
    add("rewind", Kind::adverse, 2, &World::rewind);
    add("say a falling total", Kind::adverse, 2, &World::say_falling_total);
    add("lose a store", Kind::adverse, 1, &World::lose_store);
    add("restore the server", Kind::adverse, 2, &World::restore_server);
    add("fit a sensor", Kind::adverse, 2, &World::fit_sensor);
    add("operate", Kind::adverse, 4, &World::operate);
    add("burst", Kind::adverse, 1, &World::burst);
}

World::~World() = default;

// Half of what may go wrong does not in a world, so that the other half is not always drowned by it.
void World::add(std::string_view name, Kind kind, std::uint64_t weight, void (World::*act)())
{
    if (kind == Kind::adverse && dice_.one_in(2))
        return;
    actions_.push_back({name, weight, act});
    weights_ += weight;
}

void World::tell(std::string_view what, const Machine& machine)
{
    std::string name = "the server";
    for (const auto& meter : meters_)
        if (meter.get() == &machine)
            name = meter->id().text();
    tell_(fmt::format("{:>10} ms  {}: {}", clocks_.now.time_since_epoch() / 1ms, name, what));
}

void World::suffer(std::uint64_t actions)
{
    for (Machine* machine : machines())
        machine->start();
    for (std::uint64_t done = 0; done < actions; ++done)
        step();
}

void World::step()
{
    std::uint64_t place = dice_.between(0, weights_ - 1);
    const auto drawn = std::find_if(actions_.begin(), actions_.end(), [&](const Action& action) {
        if (place < action.weight)
            return true;
        place -= action.weight;
        return false;
    });
    ++done_[drawn->name];
    (this->*drawn->act)();
    settle();
    for (const Machine* machine : machines()) {
        if (!machine->is_within_bounds())
            throw Violation{"a queue outgrows its bounds"};
    }
    if (server_->is_running() && totals_checked_at_ != witness_.moment()) {
        try {
            witness_.check_totals(server_->ledger());
            totals_checked_at_ = witness_.moment();
        } catch (const std::runtime_error&) { // its disk fails just now
        }
    }
}

void World::settle()
{
    for (Machine* machine : machines()) {
        if (machine->is_cut()) {
            tell("is off", *machine);
            machine->clean_up_after_cut();
        }
    }
}

std::vector<Machine*> World::machines()
{
    std::vector<Machine*> all{server_.get()};
    for (const auto& meter : meters_)
        all.push_back(meter.get());
    return all;
}

Machine& World::any_machine()
{
    auto all = machines();
    return *all[dice_.index(all.size())];
}

void World::pass_time(milliseconds time)
{
    clocks_.pass(time);
    const auto most = static_cast<std::uint64_t>(time.count()) * pulses_a_second_ / 1'000;
    for (const auto& meter : meters_)
        if (const std::uint64_t pulses = dice_.between(0, std::min<std::uint64_t>(most, 100)); pulses > 0)
            meter->flash(pulses);
}

void World::pass()
{
    pass_time(dice_.one_in(20) ? up_to(dice_, 20min) : up_to(dice_, 5s));
}

// Whoever has news or a deadline goes on, in any order; if nobody has, time passes until somebody does.
void World::turn()
{
    if (std::none_of(meters_.begin(), meters_.end(), [](const auto& meter) { return meter->is_running(); }))
        return;
    run_due_machine();
}

void World::run_due_machine()
{
    for (;;) {
        std::vector<Machine*> ready;
        SteadyTime next = SteadyTime::max();
        for (Machine* machine : machines()) {
            if (!machine->is_running())
                continue;
            if (machine->is_woken() || machine->due <= clocks_.now)
                ready.push_back(machine);
            next = std::min(next, machine->due);
        }
        if (ready.empty()) {
            pass_time(std::chrono::ceil<milliseconds>(next - clocks_.now));
            continue;
        }
        Machine& machine = *ready[dice_.index(ready.size())];
        const bool idles = &machine == server_.get() && !machine.is_woken();
        machine.turn();
        if (!idles)
            return; // the server's looking for new meters every second is no event
        settle();
        if (!server_->is_running())
            return;
    }
}

void World::deliver_parcel(std::size_t place)
{
    const auto at = broker_.on_the_way.begin() + static_cast<std::ptrdiff_t>(place);
    const Parcel parcel = *at;
    broker_.on_the_way.erase(at);
    broker_.deliver(parcel);
}

void World::deliver()
{
    if (broker_.on_the_way.empty())
        turn();
    else
        deliver_parcel(0);
}

void World::power_up()
{
    for (Machine* machine : machines()) {
        if (machine->is_running())
            continue;
        if (auto* meter = dynamic_cast<MeterMachine*>(machine); meter != nullptr && dice_.one_in(2))
            meter->boot();
        machine->start();
        tell(machine->is_running() ? "starts" : "cannot start", *machine);
        settle();
        return;
    }
}

void World::power_off(Machine& machine)
{
    machine.kill();
    settle();
}

} // namespace pulsemeter::sim
