#include "meter-pi/classic_register.hpp"

#include "shared/ensure.hpp"

#include <algorithm>

namespace pulsemeter {

void ClassicRegister::count(std::uint64_t pulses, const Quality& quality)
{
    ENSURE(pulses >= counted_, "the tally of pulses fell");
    counted_ = pulses;
    counted_quality_ = quality;
    add_up();
}

void ClassicRegister::go_on_from(Pulses heard)
{
    ENSURE(heard <= most_believed, "a total that nobody should have believed");
    heard_ = std::max(heard_, heard);
    has_begun_ = true;
    add_up();
}

void ClassicRegister::add_up()
{
    const Pulses before = now_.total;
    const std::uint64_t base =
        stored_.epoch.value == 0 ? heard_.value + stored_.total.value : std::max(heard_, stored_.total).value;
    ENSURE(base <= largest_integer && counted_ <= largest_integer - base, "the register overflowed");
    now_.total = Pulses{base + counted_};
    now_.quality = sum(stored_.quality, counted_quality_);
    ENSURE(now_.total >= before, "the total fell");
}

StoredRegister ClassicRegister::to_save() const
{
    StoredRegister next = now_;
    if (!has_begun_ || (next.epoch.value != 0 && next.total == next.numbered))
        return next;
    next.epoch = Epoch{1};
    if (last_was_sent_)
        ++next.last.value;
    next.numbered = next.total;
    return next;
}

void ClassicRegister::taken(const StoredRegister& saved)
{
    ENSURE(saved.total == now_.total, "another register was saved");
    last_was_sent_ = last_was_sent_ && saved.last == now_.last;
    now_ = saved;
}

} // namespace pulsemeter
