// Ledger in one SQLite file: WAL, synchronous=FULL, so that what append() has returned survives a power cut
// on a disk that honours syncs. Nothing that another process could change is cached, so `status`, `readings`
// and `held` run beside a running server. A file that is damaged or not ours is refused by name. One thread
// an object. Discarded readings stay as rows (what was confirmed is never absent) but are neither energy nor
// neighbours.
#pragma once

#include "server/audit.hpp"
#include "server/consumption.hpp"
#include "server/head_end.hpp"
#include "server/ledger.hpp"
#include "server/ledger_reading.hpp"

#include <tl/expected.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>

namespace pulsemeter {

enum class LedgerAccess : std::uint8_t {
    create, // made if missing
    write,  // must exist: a missing ledger is a loss, not a fresh start
    read,
    copy, // read, of whatever layout: for find_damage() and copy_to() only
};

// Readings of one epoch that are missing since the ledger was restored from a backup that did not have them (yet, or
// any more: what a meter had thinned before lacks as well).
struct Gap {
    Epoch epoch;
    Sequence first;
    std::optional<Sequence>
        last; // nothing: a newer epoch followed; whether there were any, and how many, nobody knows
    auto operator<=>(const Gap&) const = default;
};

// Of a meter that has at least one reading. "Newest" is the highest (epoch, sequence) that counts.
struct MeterSummary {
    Reading newest;
    WallTime received_at{};             // of the newest; on the classic wire, of its total
    Delivery delivery = Delivery::live; // … the last time
    // Over the epochs of the newest's source, one a meter constant; of the classic wire and measured ones together.
    std::vector<ConsumedPulses> consumption;
    // Between the last two readings of one boot; on the classic wire, between the last two times it was heard.
    std::optional<std::chrono::milliseconds> interval;
    std::uint64_t refused = 0;                 // different readings that were ever refused, conflicts too
    std::uint64_t held = 0;                    // of these, waiting for the operator
    std::optional<LedgerReading> register_set; // began the newest's epoch; nothing: it began otherwise
    std::vector<Gap> gaps;                     // by epoch; at most most_gaps_shown
};

struct HeldReading {
    MeterId meter;
    Reading reading; // the content that was refused first
    RefusalReason reason = RefusalReason::total_fell;
    WallTime first_seen{};
    WallTime last_seen{};
    std::uint64_t repeats = 0; // seen again; within one minute counted once
};

struct HeldKey {
    MeterId meter;
    Epoch epoch;
    Sequence sequence;
};

enum class HeldError : std::uint8_t {
    not_held,         // no such reading is waiting
    key_taken,        // accept only: another reading has that (epoch, sequence)
    constant_changed, // accept only: its pulses can't be added to that epoch's
};
[[nodiscard]] std::string_view text(HeldError error);

// What ought not to be, and how often it was.
struct LedgerAlarm {
    LedgerEvent newest;
    std::uint64_t times = 0;
};

// Rows are not what was stored, and are not to be sealed as if they were.
struct ChangedRows : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class SqliteLedger : public Ledger {
public:
    static constexpr std::uint64_t most_held_per_meter = 10'000; // and as many conflicts that were discarded
    static constexpr std::int64_t most_events = 100'000;         // the oldest go
    static constexpr std::size_t most_gaps_shown = 10;

    // ":memory:" is a ledger for tests. Throws UsageError if the file is missing (write, read), damaged or
    // not ours.
    SqliteLedger(const std::filesystem::path& file, LedgerAccess access);
    ~SqliteLedger() override;

    [[nodiscard]] std::vector<Appended> append(std::span<const IncomingReading> readings,
                                               WallTime received_at) override;
    [[nodiscard]] State state_for(const MeterId& meter, Source source) override;
    [[nodiscard]] ClassicAppended append_total(const MeterId& meter, Pulses total, WallTime received_at,
                                               Delivery delivery) override;
    [[nodiscard]] Pulses total_of(const MeterId& meter) override;
    void record(const LedgerEvent& event) override;

    [[nodiscard]] std::vector<MeterId> meters(); // in the order in which they came to be known
    [[nodiscard]] std::optional<MeterSummary> summary(const MeterId& meter); // nothing: no reading yet

    // Of each reading's source (measured and of the classic wire are one), over its older epochs and its own up to the
    // reading itself: what a line about it shows. Σ of rises within epochs; where the operator accepted a fall, the fall
    // counts as nothing. From one consistent state of the ledger.
    [[nodiscard]] std::vector<std::vector<ConsumedPulses>>
    consumption_until(std::span<const AdmittedReading> readings);

    // Measured (with an unsynchronised clock: received) at or after `since`, ordered by (epoch, sequence), from one consistent state of the ledger.
    // `each` must not call the ledger.
    void readings(const MeterId& meter, WallTime since,
                  const std::function<void(const LedgerReading&)>& each);

    [[nodiscard]] std::vector<HeldReading> held(const std::optional<MeterId>& meter = std::nullopt);
    // Joins the ledger whatever the order of totals or the rate say, and is the baseline for what follows.
    [[nodiscard]] tl::expected<void, HeldError> accept(const HeldKey& key, WallTime now);
    // Is told to the meter as settled, stays as a row, and never counts. A conflict is only no longer shown.
    [[nodiscard]] tl::expected<void, HeldError> discard(const HeldKey& key, WallTime now);

    // Newest first; of one meter, or all.
    [[nodiscard]] std::vector<LedgerEvent> events(std::size_t most,
                                                  const std::optional<MeterId>& meter = std::nullopt);
    [[nodiscard]] std::vector<LedgerAlarm> alarms(WallTime since); // newest first, one a meter and kind

    // Sealing and proving, see audit.hpp.
    struct Unsealed {
        std::int64_t meter = 0;          // the ledger's own number of it
        std::optional<std::int64_t> day; // nothing: rows that came late
    };
    [[nodiscard]] std::vector<Unsealed> unsealed(WallTime now); // of days that are over, in their order
    void seal(const Unsealed& what, const AuditKey& key);       // one transaction; ChangedRows
    [[nodiscard]] std::optional<AuditHead> head();
    // Without a key only an unsealed ledger is in order. `expected`: a head that was noted before.
    [[nodiscard]] LedgerAudit verify(const std::optional<AuditKey>& key,
                                     const std::optional<AuditHead>& expected = std::nullopt);

    // Rows that no seal holds yet and that are not what was stored: the first one, for people.
    [[nodiscard]] std::optional<std::string> find_change();

    // Another file lies at its path: from then on it fails at all it is asked for.
    [[nodiscard]] bool was_replaced() const;
    // Runs `swap` while nobody can commit to this ledger. Who has it open finds it replaced afterwards, before anything
    // more is committed.
    void while_nobody_writes(const std::function<void()>& swap);

    // What SQLite finds when it looks at every page. The values, and whether anyone changed them, are verify()'s.
    [[nodiscard]] std::optional<std::string> find_damage();
    // A copy of this moment, mode 0600, also while others write. UsageError if the file exists.
    void copy_to(const std::filesystem::path& file);
    // This ledger was put back: the holes that it has are gaps until they are filled, and what the meters send next shows
    // what else it lacks.
    void note_restored(WallTime now);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter
