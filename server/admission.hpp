// Pure: may this reading join the ledger? Decides from the reading and its surroundings in its epoch, in any
// order of arrival (shared/PROTOCOL.md, "Admission"): an unseen (epoch, sequence) whose total lies between
// those of its neighbours is accepted. No clock, no storage: the ledger calls it inside its own transaction.
// Thread-safe.
#pragma once

#include "shared/reading.hpp"

#include <cstdint>
#include <optional>
#include <variant>

namespace pulsemeter {

struct Accepted {
    auto operator<=>(const Accepted&) const = default;
};
// Total, time and source are equal: confirmed again, changes nothing.
struct Duplicate {
    auto operator<=>(const Duplicate&) const = default;
};
// The key is taken by other content (a cloned disk): never confirmed.
struct Conflict {
    auto operator<=>(const Conflict&) const = default;
};
struct Rejected {
    RefusalReason reason = RefusalReason::total_fell;
    auto operator<=>(const Rejected&) const = default;
};
using Outcome = std::variant<Accepted, Duplicate, Conflict, Rejected>;

inline constexpr std::uint32_t default_max_kw = 43; // three phases of 63 A

// Fixed within an epoch by its first admitted reading.
struct EpochFacts {
    MeterConstant constant;
    MilliwattHours start;
    Source source = Source::simulated;
    auto operator<=>(const EpochFacts&) const = default;
};
[[nodiscard]] inline EpochFacts epoch_facts(const Reading& reading)
{
    return {reading.constant, reading.start, reading.source};
}

// A reading that is already in the epoch and counts (a discarded one is no neighbour).
struct Neighbour {
    Sequence sequence;
    Pulses total;
    BootId boot{};
    Uptime uptime{};
};

// What is stored under the reading's own (epoch, sequence), discarded or not.
struct SameKey {
    Pulses total;
    WallTime measured_at{};
    Source source = Source::simulated;
};

struct AdmissionContext {
    std::optional<EpochFacts> epoch; // nothing: the first reading of its epoch
    std::optional<SameKey> same;
    std::optional<Neighbour> previous; // nearest by sequence
    std::optional<Neighbour> next;
    std::uint32_t max_kw = default_max_kw;
};

// The rate is judged against each neighbour of the same boot by the meter's own uptime, one pulse is free;
// not for simulated readings and not across a boot. An uptime that runs backwards counts as no time passed.
// Sequence 1 tells where its epoch starts, not when: against it the time since boot counts. Where the
// operator accepted a fall (previous above next), a reading may stand on either side of it.
[[nodiscard]] Outcome admit(const Reading& reading, const AdmissionContext& context);

} // namespace pulsemeter
