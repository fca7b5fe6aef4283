#include "meter-pi/energy_register.hpp"

#include "shared/ensure.hpp"

#include <algorithm>

namespace pulsemeter {

namespace {

__extension__ using Wide = unsigned __int128;

std::uint32_t add_saturating(std::uint32_t base, std::uint32_t more)
{
    return more > UINT32_MAX - base ? UINT32_MAX : base + more;
}

// The energy of a register in mWh, rounded down; ours is never so large that it would not fit.
MilliwattHours energy(MilliwattHours start, Pulses total, MeterConstant constant)
{
    const Wide counted = Wide{total.value} * 1'000'000U / constant.imp_per_kwh;
    return {static_cast<std::uint64_t>(std::min(Wide{start.value} + counted, Wide{largest_integer}))};
}

} // namespace

Quality sum(const Quality& a, const Quality& b)
{
    return {add_saturating(a.glitches, b.glitches), add_saturating(a.missed_edges, b.missed_edges),
            add_saturating(a.uncertain, b.uncertain)};
}

void EnergyRegister::count(std::uint64_t pulses, const Quality& quality)
{
    ENSURE(pulses >= counted_, "the tally of pulses fell");
    ENSURE(pulses <= largest_integer - base_.total.value, "the register overflowed");
    counted_ = pulses;
    counted_quality_ = quality;
    now_.total.value = base_.total.value + pulses;
    now_.quality = sum(base_.quality, quality);
}

Hello EnergyRegister::hello(const Nonce& nonce, const BootId& boot) const
{
    Hello hello{.nonce = nonce, .source = now_.source, .boot = boot};
    if (now_.epoch.value != 0) {
        hello.has_register = true;
        hello.epoch = now_.epoch;
        hello.sequence = now_.last;
        hello.total = now_.total;
    }
    return hello;
}

Greeting EnergyRegister::greet(const State& state)
{
    ENSURE(!greeted_, "greeted twice");
    // Both registers of a disk take their epochs from one series, and the server need not have heard of all of them.
    const Epoch highest = std::max(state.highest_epoch, highest_epoch_);
    ENSURE(highest.value < UINT32_MAX, "epochs are used up");
    greeted_ = true;
    const Epoch next{highest.value + 1};
    const bool server_knows = state.epoch.value != 0;
    const Pulses unnumbered{counted_ + (now_.epoch.value == 0 ? base_.total.value : 0)};

    if (now_.epoch.value == 0) {
        if (!server_knows) {
            begin_epoch(next, Pulses{0}, unnumbered, now_.start);
            return Greeting::first_epoch;
        }
        if (state.constant == now_.constant)
            begin_epoch(next, state.total, Pulses{state.total.value + unnumbered.value}, state.start);
        else // pulses of another constant cannot be gone on with: their energy becomes the start value
            begin_epoch(next, Pulses{0}, unnumbered, energy(state.start, state.total, state.constant));
        return Greeting::recovered;
    }

    const bool ahead =
        state.highest_epoch > now_.epoch ||
        (!server_knows && state.highest_epoch == now_.epoch) || // it took that epoch for the other source
        (state.epoch == now_.epoch && (state.sequence > now_.last || state.total > now_.numbered));
    if (!ahead)
        return Greeting::continued;
    if (server_knows && state.constant == now_.constant) {
        // What this disk has numbered may still reach the server in the old epoch, so it is not counted
        // again.
        begin_epoch(next, std::max(state.total, now_.numbered), std::max(state.total, now_.total),
                    state.start);
    } else {
        begin_epoch(next, now_.numbered, now_.total, now_.start);
    }
    return Greeting::server_was_ahead;
}

void EnergyRegister::begin_epoch(Epoch epoch, Pulses base, Pulses total, MilliwattHours start)
{
    ENSURE(base <= total, "an epoch starts above its total");
    ENSURE(total.value <= largest_integer, "the register overflowed");
    epoch_base_ = base;
    now_.epoch = epoch;
    now_.last = Sequence{0};
    now_.numbered = base;
    now_.total = total;
    now_.start = start;
    ENSURE(total.value >= counted_, "a register below its own pulses");
    base_ = now_;
    base_.total.value = total.value - counted_;
    base_.quality = Quality{};
    now_.quality = counted_quality_;
}

Reading EnergyRegister::draft(const ReadingFacts& facts) const
{
    ENSURE(greeted_, "a reading was numbered before the greeting");
    const bool first = now_.last.value == 0;
    // The second reading holds all that was counted before the greeting. What an earlier life of the program counted
    // cannot be judged by this boot's uptime, so the first one then names no boot.
    const bool older_pulses = first && now_.total.value - epoch_base_.value > counted_;
    return Reading{
        .epoch = now_.epoch,
        .sequence = Sequence{now_.last.value + 1},
        .total = first ? epoch_base_ : now_.total,
        .constant = now_.constant,
        .start = now_.start,
        .measured_at = facts.measured_at,
        .clock = facts.clock,
        .boot = older_pulses ? BootId{} : facts.boot,
        .uptime = facts.uptime,
        .source = now_.source,
        .quality = now_.quality,
        .events = facts.events,
        .power = facts.power,
    };
}

StoredRegister EnergyRegister::stored_with(const Reading& reading) const
{
    StoredRegister stored = now_;
    stored.last = reading.sequence;
    stored.numbered = reading.total;
    return stored;
}

void EnergyRegister::taken(const Reading& reading)
{
    ENSURE(reading.epoch == now_.epoch && reading.sequence.value == now_.last.value + 1,
           "a number was skipped");
    ENSURE(reading.total >= now_.numbered, "the total fell");
    now_.last = base_.last = reading.sequence;
    now_.numbered = base_.numbered = reading.total;
}

} // namespace pulsemeter
