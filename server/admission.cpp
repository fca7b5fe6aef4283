#include "server/admission.hpp"

#include "server/decimal.hpp"

#include <algorithm>

namespace pulsemeter {
namespace {

constexpr std::uint64_t milliseconds_per_hour = 3'600'000;

Neighbour as_neighbour(const Reading& reading)
{
    return {reading.sequence, reading.total, reading.boot, reading.uptime};
}

std::uint64_t elapsed_milliseconds(const Neighbour& earlier, const Neighbour& later)
{
    const Uptime from = earlier.sequence.value == 1 ? Uptime::zero() : earlier.uptime;
    return static_cast<std::uint64_t>(std::max((later.uptime - from).count(), Uptime::rep{0}));
}

// One pulse is free: a pulse may fall right after one reading and another right before the next.
bool too_fast(const Neighbour& earlier, const Neighbour& later, MeterConstant constant, std::uint32_t max_kw)
{
    if (earlier.boot != later.boot || later.total.value - earlier.total.value <= 1)
        return false;
    const Wide pulses = later.total.value - earlier.total.value - 1;
    // Pulses an hour at the largest load; no product here exceeds 2^115.
    const Wide most = Wide{max_kw} * constant.imp_per_kwh;
    return pulses * milliseconds_per_hour > most * elapsed_milliseconds(earlier, later);
}

} // namespace

Outcome admit(const Reading& reading, const AdmissionContext& context)
{
    if (const auto& same = context.same) {
        const bool equal = same->total == reading.total && same->measured_at == reading.measured_at &&
                           same->source == reading.source;
        return equal ? Outcome{Duplicate{}} : Outcome{Conflict{}};
    }
    if (context.epoch && *context.epoch != epoch_facts(reading))
        return Rejected{RefusalReason::constant_changed};

    const auto& previous = context.previous;
    const auto& next = context.next;
    const bool not_below = !previous || previous->total <= reading.total;
    const bool not_above = !next || reading.total <= next->total;
    const bool fall_was_accepted = previous && next && previous->total > next->total;
    if (fall_was_accepted ? !not_below && !not_above : !not_below)
        return Rejected{RefusalReason::total_fell};
    if (!fall_was_accepted && !not_above)
        return Rejected{RefusalReason::total_jumped};

    if (reading.source == Source::measured) {
        const Neighbour here = as_neighbour(reading);
        if ((previous && not_below && too_fast(*previous, here, reading.constant, context.max_kw)) ||
            (next && not_above && too_fast(here, *next, reading.constant, context.max_kw)))
            return Rejected{RefusalReason::implausible_rate};
    }
    return Accepted{};
}

} // namespace pulsemeter
