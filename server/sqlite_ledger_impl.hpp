// What the parts of SqliteLedger share: a connection that is made anew after a failure, and the rows. For
// sqlite_ledger*.cpp only.
#pragma once

#include "server/packed_reading.hpp"
#include "server/sqlite_ledger_file.hpp"

#include <fmt/core.h>

#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

namespace pulsemeter {

namespace row {

[[nodiscard]] std::int64_t number(std::uint64_t value); // all of ours are at most 2^63−1
// What follows throws SQLITE_CORRUPT if the value is out of the type's range.
[[nodiscard]] std::uint64_t natural(const SQLite::Column& column);
[[nodiscard]] std::uint32_t small(const SQLite::Column& column);
[[nodiscard]] std::int64_t number(WallTime time);
// a − b without a sign, so that neither damage nor a clock that is wrong overflows; time() judges what comes of it.
[[nodiscard]] std::int64_t difference(std::int64_t a, std::int64_t b);
[[nodiscard]] std::int64_t day_of(WallTime receipt); // since 1970, UTC
[[nodiscard]] WallTime time(const SQLite::Column& column);
[[nodiscard]] BootId boot_id(const SQLite::Column& column);
[[nodiscard]] PackedReading facts(const SQLite::Column& column);
[[nodiscard]] AuditMac mac(const SQLite::Column& column);

enum class Refusals : std::uint8_t { none, some }; // that the meter ever had

struct Life {
    std::int64_t id = 0;
    std::int64_t meter = 0;
    EpochFacts facts;
    bool overruled = false; // the operator accepted a reading against the order of totals
    Refusals refusals = Refusals::some;
    std::optional<std::int64_t> newer = std::nullopt;        // the life of the next epoch of the same source
    std::optional<std::uint64_t> newest_boot = std::nullopt; // of its newest row, where that was looked at
};

struct Held {
    Reading reading;
    RefusalReason reason = RefusalReason::total_fell;
    WallTime first_seen{};
    WallTime last_seen{};
    bool dismissed = false;
};

// The classic wire: when a total that did not fall last came live, and how long after the one before.
struct Heard {
    WallTime at{};
    std::optional<std::chrono::milliseconds> gap;
};
[[nodiscard]] std::optional<Heard> find_heard(LedgerFile& file, std::int64_t life);

[[nodiscard]] std::optional<std::int64_t> find_meter(LedgerFile& file, const MeterId& meter);
[[nodiscard]] std::optional<Life> find_life(LedgerFile& file, const MeterId& meter, Epoch epoch);
[[nodiscard]] std::optional<SameKey> find_same(LedgerFile& file, const Life& life, Sequence sequence);
[[nodiscard]] std::optional<Held> find_held(LedgerFile& file, const MeterId& meter, std::int64_t meter_key,
                                            Epoch epoch, Sequence sequence);
// A meter's new epoch, with its event.
[[nodiscard]] Life start_epoch(LedgerFile& file, const MeterId& meter, const Reading& first, WallTime now);
// Of a row whose first columns are content and checksum. Nothing: it is damaged.
[[nodiscard]] std::optional<Reading> decode_content(const HeldKey& key, SQLite::Statement& row);
void insert_packed(LedgerFile& file, std::int64_t life, Sequence sequence, const PackedReading& reading);
void insert_reading(LedgerFile& file, const Life& life, const Reading& reading, WallTime received_at,
                    Standing standing, Delivery delivery = Delivery::live);
// A reading that counts is new in an epoch where totals may fall: where they do so now.
void note_falls(LedgerFile& file, const Life& life, Sequence sequence);
int delete_held(LedgerFile& file, std::int64_t meter_key, Epoch epoch, Sequence sequence); // how many
void insert_event(LedgerFile& file, const LedgerEvent& event);

[[nodiscard]] std::string describe(const Reading& reading); // for people
// What an accepted reading tells of a copy of the meter's disk, or of another program with its client id. Recorded, and to
// be told.
[[nodiscard]] std::optional<LedgerEvent> note_alarms(LedgerFile& file, const MeterId& meter, const Life& life,
                                                     const Reading& reading, WallTime now);

// A ledger that was restored: the largest holes in what it has, at most most_gaps_shown a meter, are gaps.
void note_holes(LedgerFile& file, WallTime now);
// … an epoch has begun: of the one before, what the backup lacks may be lost.
void note_open_end(LedgerFile& file, const MeterId& meter, const Life& life, Epoch epoch, WallTime now);
// At most SqliteLedger::most_gaps_shown.
[[nodiscard]] std::vector<Gap> find_gaps(LedgerFile& file, std::int64_t meter_key);
// Rows that no seal holds yet: of which day of receipt (UTC) they are, and what they were when they came. Of a day that is
// sealed already they are late, and kept one by one.
struct RowSum { // of rows in any order
    std::uint64_t rows = 0;
    std::uint32_t checksums = 0; // their sum, of 32 bits
    bool legible = true;         // none of them is no reading any more
    void add(std::uint32_t checksum)
    {
        ++rows;
        checksums += checksum;
    }
    bool operator==(const RowSum&) const = default;
};
struct MeterLife {
    std::int64_t id;
    Epoch epoch;
    EpochFacts facts;
};
struct OpenDay {
    std::int64_t day = 0;
    std::uint64_t first = 0; // sequences, between which the day's rows lie
    std::uint64_t last = 0;
    RowSum sum; // of what was stored
};
// Of all that a row and its epoch mean.
[[nodiscard]] std::uint32_t sum_of(const LedgerReading& reading, const EpochFacts& epoch);
using RowVisitor = std::function<void(const LedgerReading&)>;
// The last day of the meter that is sealed, or one before all days.
[[nodiscard]] std::int64_t sealed_until(LedgerFile& file, std::int64_t meter_key);
void note_day(LedgerFile& file, std::int64_t life, std::int64_t day, const NewRows& rows);
[[nodiscard]] std::string day_text(std::int64_t day);
[[nodiscard]] std::vector<MeterLife> lives_of(LedgerFile& file, std::int64_t meter);
[[nodiscard]] std::vector<OpenDay> open_days_of(LedgerFile& file, std::int64_t life);
// By their sequences. The sum is of what is there now.
RowSum each_row(LedgerFile& file, const MeterLife& life, const OpenDay& day, const RowVisitor& each);
// By their sequences, those that are not amended yet. The first one that is not what was stored.
std::optional<Sequence> each_late_row(LedgerFile& file, const MeterLife& life, const RowVisitor& each);
[[nodiscard]] std::string describe_change(const MeterId& meter, const MeterLife& life, const OpenDay& day);
[[nodiscard]] std::string describe_change(const MeterId& meter, const MeterLife& life, Sequence late);
// The first one, for people.
[[nodiscard]] std::optional<std::string> find_change(LedgerFile& file);
// From now on what is there counts as what was stored. SQLITE_CORRUPT if it is no reading.
void note_all(LedgerFile& file);

// What the rows that this transaction inserted mean for days and gaps: of which day they are (to be sealed as a whole, or
// late if that is sealed already), and whether they end a gap. At its end.
void note_new_rows(LedgerFile& file);

// The stretch of that boot, by its number too: the likely one if it begins near `boot.began`, else the nearest; a new one if
// none is near.
[[nodiscard]] std::pair<std::uint64_t, Boot> stretch_of(LedgerFile& file, const Boot& boot,
                                                        std::optional<std::uint64_t> likely = std::nullopt);
[[nodiscard]] Boot find_boot(LedgerFile& file, std::uint64_t number); // SQLITE_CORRUPT if there is none
[[nodiscard]] WallTime measured_at(const Boot& boot, const PackedReading& facts);
// Of a row whose first columns are sequence and facts.
[[nodiscard]] LedgerReading reading_from(LedgerFile& file, SQLite::Statement& row, Epoch epoch,
                                         const EpochFacts& epoch_facts);

} // namespace row

struct SqliteLedger::Impl {
    std::filesystem::path path;
    LedgerAccess access;
    std::optional<LedgerFile> file;
    LastUse last_use = LastUse::clean;
    std::optional<FileId> opened = std::nullopt; // the first time
    std::map<std::uint64_t, Boot> boots;         // that are committed: their rows never change

    static constexpr std::size_t most_boots = 200'000; // some 20 MB

    // `restore` put another ledger there: what this one is used with (keys, settings) may not fit it.
    [[nodiscard]] bool was_replaced() const
    {
        const auto there = identify(path);
        return opened && there && there != opened;
    }

    void open()
    {
        const auto before = identify(path);
        boots.clear();
        file.emplace(path, access, last_use);
        last_use = LastUse::clean;
        if (!opened)
            opened = before ? before : identify(path); // there was none, and it was made
        if (was_replaced()) {
            file.reset();
            throw std::runtime_error(fmt::format("the ledger {} was replaced by another one", path.string()));
        }
    }

    // Runs `body` on an open file. A failure closes it, so that the next call starts from what the disk holds.
    template <typename Body>
    auto run(const Body& body) -> decltype(body(*file))
    {
        try {
            if (!file)
                open();
            return body(*file);
        } catch (const SQLite::Exception& failure) {
            last_use = LastUse::failed;
            file.reset();
            throw std::runtime_error(explain(path, failure));
        }
    }

    template <typename Body>
    auto write(const Body& body) -> decltype(body(*file))
    {
        return run([&](LedgerFile& open) {
            SQLite::Transaction transaction(open.database(), SQLite::TransactionBehavior::IMMEDIATE);
            open.new_rows.clear();
            open.boots = std::exchange(boots, {}); // none of a transaction that failed
            auto result = body(open);
            row::note_new_rows(open);
            if (!open.is_in_place())
                throw SQLite::Exception("it was moved, replaced or removed while it was in use");
            transaction.commit();
            if (open.boots.size() < most_boots)
                boots = std::exchange(open.boots, {});
            return result;
        });
    }

    // Several statements over one state of the ledger.
    template <typename Body>
    auto look(const Body& body) -> decltype(body(*file))
    {
        return run([&body](LedgerFile& open) {
            const SQLite::Transaction transaction(open.database());
            open.boots.clear();
            auto result = body(open);
            if (!open.is_in_place())
                throw SQLite::Exception("it was moved, replaced or removed while it was in use");
            return result;
        });
    }
};

} // namespace pulsemeter
