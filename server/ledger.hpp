// Port: the append-only account of readings and events, as the head end uses it. What is asked for by people
// stands in sqlite_ledger.hpp. One thread an object; other processes may read and write the same ledger
// beside it. Every call throws std::runtime_error (naming the file) when the environment fails; then nothing
// of the call happened, and a later call may try again.
#pragma once

#include "server/admission.hpp"
#include "server/classic_total.hpp"
#include "server/consumption.hpp"
#include "shared/reading.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

struct IncomingReading {
    MeterId meter;
    Reading reading;
    std::uint32_t max_kw = default_max_kw;
    Delivery delivery = Delivery::live;
};

enum class Notice : std::uint8_t { first_time, repeated }; // has this refusal been recorded before?

enum class EventKind : std::uint8_t {
    epoch_started = 1,
    refused = 2,
    conflict = 3,
    held_accepted = 4,  // by the operator
    held_discarded = 5, // by the operator
    held_resolved = 6,  // was refused, fitted when it came again
    held_full = 7,      // refused readings of a meter are no longer kept, only refused
    bad_tokens = 8,
    register_set = 9, // on the meter, by its operator: a new epoch
    gap = 12,         // readings that were lost with what a backup does not have
    clone = 13,       // a copy of the meter's disk was put back, or runs beside it
    damaged = 14,     // rows of this ledger are not what was stored
    client_id_contested =
        15, // a meter, or this server (no meter), tells that another program has its client id
};
[[nodiscard]] std::string_view text(EventKind kind); // "epoch_started", for machines

struct LedgerEvent {
    WallTime at{};
    EventKind kind = EventKind::refused;
    std::optional<MeterId> meter;
    std::string detail; // for people
};

struct Appended {
    Outcome outcome;
    Notice notice = Notice::first_time;              // of a Conflict or Rejected only
    std::optional<LedgerEvent> alarm = std::nullopt; // of an Accepted one: is recorded, and to be told
};

inline constexpr std::chrono::seconds classic_heard_every{10};

class Ledger {
public:
    virtual ~Ledger() = default;

    // One outcome a reading, in order, decided and stored in one transaction: durable when it returns. A
    // batch of duplicates writes nothing.
    [[nodiscard]] virtual std::vector<Appended> append(std::span<const IncomingReading> readings,
                                                       WallTime received_at) = 0;

    // What a Hello is answered with, but for the nonce. The sequence is the highest one that was ever taken
    // in (held and discarded ones too, so that none gets two contents), the total that of the newest reading
    // that counts.
    [[nodiscard]] virtual State state_for(const MeterId& meter, Source source) = 0;

    // The classic wire: totals have no numbers, so the ledger gives them in the order of receipt, in an epoch whose
    // sequence 1 is 0 (consumption is then the total itself), or, after a time on the sealed wire, the total that was
    // stored last, so that nothing counts twice. Decided and stored in one transaction: durable when it
    // returns. A lower total writes nothing; an equal one that is live only that the meter was heard, and that not more
    // often than every classic_heard_every.
    [[nodiscard]] virtual ClassicAppended append_total(const MeterId& meter, Pulses total,
                                                       WallTime received_at, Delivery delivery) = 0;
    // The one that was stored last, 0 if there is none.
    [[nodiscard]] virtual Pulses total_of(const MeterId& meter) = 0;

    virtual void record(const LedgerEvent& event) = 0;
};

} // namespace pulsemeter
