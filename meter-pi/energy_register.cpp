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

std::uint32_t bit(MeterEvent event)
{
    return static_cast<std::uint32_t>(event);
}

} // namespace

Quality sum(const Quality& a, const Quality& b)
{
    return {add_saturating(a.glitches, b.glitches), add_saturating(a.missed_edges, b.missed_edges),
            add_saturating(a.uncertain, b.uncertain)};
}

RegisterValue value_of(const StoredRegister& stored)
{
    if (stored.renewal)
        return {stored.renewal->start, stored.renewal->total, stored.renewal->constant};
    return {stored.start, stored.total, stored.constant};
}

MilliwattHours energy(const RegisterValue& value)
{
    const Wide counted = Wide{value.total.value} * 1'000'000U / value.constant.imp_per_kwh;
    return {static_cast<std::uint64_t>(std::min(Wide{value.start.value} + counted, Wide{largest_integer}))};
}

tl::expected<StoredRegister, SetError> set_register(const StoredRegister& stored, MilliwattHours display,
                                                    MeterConstant constant, MeterChange change)
{
    if (stored.renewal && stored.renewal->total.value > 0)
        return tl::unexpected(SetError::set_before);
    const bool was_used = stored.epoch.value != 0 || stored.total.value > 0;
    const bool swapped = change == MeterChange::another_meter ||
                         (stored.renewal && (stored.renewal->events & bit(MeterEvent::meter_swapped)) != 0);
    Renewal renewal{display, constant, Pulses{0}, bit(MeterEvent::register_set)};
    if (swapped)
        renewal.events |= bit(MeterEvent::meter_swapped);
    if (was_used && constant != stored.constant)
        renewal.events |= bit(MeterEvent::constant_changed);
    StoredRegister set = stored;
    set.renewal = renewal;
    return set;
}

void EnergyRegister::count(std::uint64_t pulses, const Quality& quality)
{
    ENSURE(pulses >= counted_, "the tally of pulses fell");
    const std::uint64_t before = base_.renewal ? base_.renewal->total.value : base_.total.value;
    ENSURE(pulses <= largest_integer - before, "the register overflowed");
    counted_ = pulses;
    counted_quality_ = quality;
    if (now_.renewal) {
        now_.renewal->total.value = before + pulses;
        return;
    }
    now_.total.value = before + pulses;
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
    highest_epoch_ = std::max(state.highest_epoch, highest_epoch_);
    ENSURE(highest_epoch_.value < UINT32_MAX, "epochs are used up");
    greeted_ = true;
    const Epoch next{highest_epoch_.value + 1};
    const bool server_knows = state.epoch.value != 0;
    const Pulses unnumbered{counted_in_epoch() + (now_.epoch.value == 0 ? base_.total.value : 0)};

    if (now_.epoch.value == 0) {
        if (!server_knows) {
            begin_epoch(next, Pulses{0}, unnumbered, now_.start);
            return Greeting::first_epoch;
        }
        if (state.constant == now_.constant) {
            begin_epoch(next, state.total, Pulses{state.total.value + unnumbered.value}, state.start);
        } else { // pulses of another constant cannot be gone on with: their energy becomes the start value
            begin_epoch(next, Pulses{0}, unnumbered, energy({state.start, state.total, state.constant}));
        }
        return Greeting::recovered;
    }

    const bool ahead =
        state.highest_epoch > now_.epoch ||
        (!server_knows && state.highest_epoch == now_.epoch) || // it took that epoch for the other source
        (state.epoch == now_.epoch && (state.sequence > now_.last || state.total > now_.numbered));
    if (!ahead)
        return Greeting::continued;
    const bool same_start = state.start == now_.start;
    if (!server_knows || state.constant != now_.constant || (!same_start && state.epoch < now_.epoch)) {
        begin_epoch(next, now_.numbered, now_.total, now_.start);
    } else if (
        !same_start) { // the register was set after this image was taken: its totals are of an older count
        begin_epoch(next, state.total, Pulses{state.total.value + counted_in_epoch()}, state.start);
    } else {
        // What this disk has numbered may still reach the server in the old epoch, so it is not counted again. What
        // earlier lives of the program counted may be among the server's pulses, those of this life are new for sure.
        begin_epoch(next, std::max(state.total, now_.numbered),
                    Pulses{std::max(state.total, base_.total).value + counted_in_epoch()}, state.start);
    }
    return Greeting::server_was_ahead;
}

void EnergyRegister::begin_epoch(Epoch epoch, Pulses base, Pulses total, MilliwattHours start)
{
    ENSURE(base <= total, "an epoch starts above its total");
    ENSURE(total.value <= largest_integer, "the register overflowed");
    epoch_base_ = base;
    highest_epoch_ = std::max(highest_epoch_, epoch);
    now_.epoch = epoch;
    now_.last = Sequence{0};
    now_.numbered = base;
    now_.total = total;
    now_.start = start;
    ENSURE(total.value >= counted_in_epoch(), "a register below its own pulses");
    const auto renewal = base_.renewal;
    base_ = now_;
    base_.renewal = renewal;
    base_.total.value = total.value - counted_in_epoch();
    base_.quality = Quality{};
    now_.quality = now_.renewal ? Quality{} : counted_quality_;
}

bool EnergyRegister::renewal_due() const
{
    return greeted_ && now_.renewal && now_.total == now_.numbered;
}

void EnergyRegister::renew()
{
    ENSURE(renewal_due(), "an epoch ends before all of it is numbered");
    ENSURE(highest_epoch_.value < UINT32_MAX, "epochs are used up");
    const Renewal renewal = *now_.renewal;
    now_.renewal.reset();
    base_.renewal.reset();
    now_.constant = renewal.constant;
    // An epoch that the greeting began a moment ago and in which nothing was numbered is as good as a new one.
    const Epoch epoch = now_.last.value == 0 ? now_.epoch : Epoch{highest_epoch_.value + 1};
    begin_epoch(epoch, Pulses{0}, renewal.total, renewal.start);
}

Reading EnergyRegister::draft(const ReadingFacts& facts) const
{
    ENSURE(greeted_, "a reading was numbered before the greeting");
    const bool first = now_.last.value == 0;
    // The second reading holds all that was counted before the greeting. What an earlier life of the program counted
    // cannot be judged by this boot's uptime, so the first one then names no boot.
    const bool older_pulses = first && now_.total.value - epoch_base_.value > counted_in_epoch();
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
