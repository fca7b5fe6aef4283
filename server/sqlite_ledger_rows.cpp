#include "server/sqlite_ledger_impl.hpp"
#include "shared/reading_codec.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>

namespace pulsemeter::row {
namespace {

template <typename Bytes>
Bytes bytes_of(const SQLite::Column& column)
{
    Bytes bytes{};
    if (column.getBytes() != static_cast<int>(bytes.size()))
        throw SQLite::Exception("a value of a wrong size", SQLITE_CORRUPT);
    std::memcpy(bytes.data(), column.getBlob(), bytes.size());
    return bytes;
}

// What no reading has is damage, and not to be calculated with.
std::uint64_t within(std::int64_t value, std::uint64_t most)
{
    if (value < 0 || static_cast<std::uint64_t>(value) > most)
        throw SQLite::Exception("a value out of its range", SQLITE_CORRUPT);
    return static_cast<std::uint64_t>(value);
}

WallTime at(std::int64_t milliseconds)
{
    constexpr std::uint64_t year_10000 = 253'402'300'800'000;
    (void)within(milliseconds, year_10000 - 1);
    return WallTime{std::chrono::milliseconds{milliseconds}};
}

// As difference().
std::int64_t sum(std::int64_t a, std::int64_t b)
{
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

constexpr std::uint64_t straight_ms = 6; // what packed_reading has room for
constexpr int most_stretches = 8; // of one boot: a clock that jumps all the time costs bytes, but no search

std::uint64_t distance(std::int64_t a, std::int64_t b)
{
    return a > b ? static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b)
                 : static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
}

} // namespace

std::int64_t number(std::uint64_t value)
{
    return static_cast<std::int64_t>(value);
}

std::int64_t number(WallTime time)
{
    return time.time_since_epoch().count();
}

std::int64_t difference(std::int64_t a, std::int64_t b)
{
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

std::int64_t day_of(WallTime receipt)
{
    return std::chrono::floor<std::chrono::days>(receipt).time_since_epoch().count();
}

std::uint64_t natural(const SQLite::Column& column)
{
    return within(column.getInt64(), largest_integer);
}

std::uint32_t small(const SQLite::Column& column)
{
    return static_cast<std::uint32_t>(within(column.getInt64(), UINT32_MAX));
}

WallTime time(const SQLite::Column& column)
{
    return at(column.getInt64());
}

BootId boot_id(const SQLite::Column& column)
{
    return bytes_of<BootId>(column);
}

PackedReading facts(const SQLite::Column& column)
{
    const auto* bytes = static_cast<const std::uint8_t*>(column.getBlob());
    const auto unpacked = unpack({bytes, static_cast<std::size_t>(column.getBytes())});
    if (!unpacked)
        throw SQLite::Exception("a row that is no reading", SQLITE_CORRUPT);
    return *unpacked;
}

AuditMac mac(const SQLite::Column& column)
{
    return bytes_of<AuditMac>(column);
}

std::optional<std::int64_t> find_meter(LedgerFile& file, const MeterId& meter)
{
    const auto query = file.query("SELECT id FROM meter WHERE name = ?");
    query->bind(1, meter.text());
    if (!query->executeStep())
        return std::nullopt;
    return query->getColumn(0).getInt64();
}

std::optional<Life> find_life(LedgerFile& file, const MeterId& meter, Epoch epoch)
{
    const auto query = file.query(
        "SELECT l.id, l.meter, l.imp, l.start, l.source, l.overruled, m.refused, (SELECT id FROM "
        "life WHERE meter = l.meter AND epoch > l.epoch AND source = l.source ORDER BY epoch LIMIT "
        "1) FROM meter m JOIN life l ON l.meter = m.id WHERE m.name = ? AND l.epoch = ?");
    query->bind(1, meter.text());
    query->bind(2, epoch.value);
    if (!query->executeStep())
        return std::nullopt;
    Life life{query->getColumn(0).getInt64(),
              query->getColumn(1).getInt64(),
              {{small(query->getColumn(2))},
               {natural(query->getColumn(3))},
               static_cast<Source>(query->getColumn(4).getInt())},
              query->getColumn(5).getInt() != 0,
              query->getColumn(6).getInt64() == 0 ? Refusals::none : Refusals::some};
    if (!query->getColumn(7).isNull())
        life.newer = query->getColumn(7).getInt64();
    return life;
}

std::optional<SameKey> find_same(LedgerFile& file, const Life& life, Sequence sequence)
{
    const auto query = file.query("SELECT facts FROM reading WHERE life = ? AND sequence = ?");
    query->bind(1, life.id);
    query->bind(2, number(sequence.value));
    if (!query->executeStep())
        return std::nullopt;
    const PackedReading packed = facts(query->getColumn(0));
    return SameKey{packed.total, measured_at(find_boot(file, packed.boot), packed), packed.source};
}

std::optional<Held> find_held(LedgerFile& file, const MeterId& meter, std::int64_t meter_key, Epoch epoch,
                              Sequence sequence)
{
    const auto query =
        file.query("SELECT content, checksum, reason, first_seen, last_seen, dismissed FROM held "
                   "WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, meter_key);
    query->bind(2, epoch.value);
    query->bind(3, number(sequence.value));
    if (!query->executeStep())
        return std::nullopt;
    const auto reading = decode_content({meter, epoch, sequence}, *query);
    if (!reading)
        return std::nullopt;
    return Held{*reading, static_cast<RefusalReason>(query->getColumn(2).getInt()), time(query->getColumn(3)),
                time(query->getColumn(4)), query->getColumn(5).getInt() != 0};
}

std::optional<Reading> decode_content(const HeldKey& key, SQLite::Statement& row)
{
    const SQLite::Column content = row.getColumn(0);
    Plaintext bytes{};
    if (content.getBytes() != static_cast<int>(bytes.size()))
        return std::nullopt;
    std::memcpy(bytes.data(), content.getBlob(), bytes.size());
    const auto message = decode_up(key.meter, bytes);
    if (!message || !std::holds_alternative<Reading>(*message) ||
        row.getColumn(1).getInt64() != std::int64_t{checksum(bytes)})
        return std::nullopt;
    const auto& reading = std::get<Reading>(*message);
    const bool is_there = reading.epoch == key.epoch && reading.sequence == key.sequence;
    return is_there ? std::optional(reading) : std::nullopt;
}

void insert_packed(LedgerFile& file, std::int64_t life, Sequence sequence, const PackedReading& reading)
{
    const auto packed = pack(reading);
    const auto query = file.query("INSERT INTO reading (life, sequence, facts) VALUES (?, ?, ?)");
    query->bind(1, life);
    query->bind(2, number(sequence.value));
    query->bind(3, packed.data(), static_cast<int>(packed.size()));
    query->exec();
}

void insert_reading(LedgerFile& file, const Life& life, const Reading& reading, WallTime received_at,
                    Standing standing, Delivery delivery)
{
    const std::int64_t began = difference(number(reading.measured_at), reading.uptime.count());
    const auto [boot_number, boot] = stretch_of(file, {reading.boot, began}, life.newest_boot);
    insert_packed(file, life.id, reading.sequence,
                  {.total = reading.total,
                   .boot = boot_number,
                   .uptime = reading.uptime,
                   .drift = difference(began, boot.began),
                   .delay = (received_at - reading.measured_at).count(),
                   .clock = reading.clock,
                   .source = reading.source,
                   .standing = standing,
                   .delivery = delivery,
                   .quality = reading.quality,
                   .events = reading.events,
                   .power = reading.power});
    LedgerReading stored{reading, received_at, standing, delivery};
    stored.reading.constant = life.facts.constant; // as it will be read: they are the epoch's
    stored.reading.start = life.facts.start;
    file.new_rows.try_emplace({life.id, day_of(received_at)}, NewRows{life.meter, received_at, {}})
        .first->second.rows.emplace_back(number(reading.sequence.value), sum_of(stored, life.facts));
}

int delete_held(LedgerFile& file, std::int64_t meter_key, Epoch epoch, Sequence sequence)
{
    const auto query = file.query("DELETE FROM held WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, meter_key);
    query->bind(2, epoch.value);
    query->bind(3, number(sequence.value));
    return query->exec();
}

void insert_event(LedgerFile& file, const LedgerEvent& event)
{
    const auto query = file.query("INSERT INTO event (at, kind, meter, detail) VALUES (?, ?, ?, ?)");
    query->bind(1, number(event.at));
    query->bind(2, static_cast<int>(event.kind));
    if (event.meter) {
        query->bind(3, event.meter->text());
    } else {
        query->bind(3);
    }
    query->bind(4, event.detail);
    query->exec();

    const auto trim = file.query("DELETE FROM event WHERE id <= ?");
    trim->bind(1, file.database().getLastInsertRowid() - SqliteLedger::most_events);
    trim->exec();
}

std::pair<std::uint64_t, Boot> stretch_of(LedgerFile& file, const Boot& boot,
                                          std::optional<std::uint64_t> likely)
{
    if (likely) {
        const Boot stretch = find_boot(file, *likely);
        if (stretch.id == boot.id && distance(stretch.began, boot.began) <= straight_ms)
            return {*likely, stretch};
    }
    const auto known = file.query("SELECT id, began FROM boot WHERE boot = ?");
    known->bind(1, boot.id.data(), static_cast<int>(boot.id.size()));
    std::pair<std::uint64_t, Boot> nearest;
    int count = 0;
    for (; known->executeStep(); ++count) {
        const std::int64_t began = known->getColumn(1).getInt64();
        if (count == 0 || distance(began, boot.began) < distance(nearest.second.began, boot.began))
            nearest = {natural(known->getColumn(0)), {boot.id, began}};
    }
    if (count >= most_stretches || (count > 0 && distance(nearest.second.began, boot.began) <= straight_ms))
        return nearest;
    const auto made = file.query("INSERT INTO boot (boot, began) VALUES (?, ?)");
    made->bind(1, boot.id.data(), static_cast<int>(boot.id.size()));
    made->bind(2, boot.began);
    made->exec();
    return {static_cast<std::uint64_t>(file.database().getLastInsertRowid()), boot};
}

Boot find_boot(LedgerFile& file, std::uint64_t boot_number)
{
    const auto known = file.boots.find(boot_number);
    if (known != file.boots.end())
        return known->second;
    const auto query = file.query("SELECT boot, began FROM boot WHERE id = ?");
    query->bind(1, number(boot_number));
    if (!query->executeStep())
        throw SQLite::Exception("a reading of a boot that is not there", SQLITE_CORRUPT);
    const Boot boot{boot_id(query->getColumn(0)), query->getColumn(1).getInt64()};
    file.boots.emplace(boot_number, boot);
    return boot;
}

WallTime measured_at(const Boot& boot, const PackedReading& facts)
{
    return at(sum(sum(boot.began, facts.uptime.count()), facts.drift));
}

LedgerReading reading_from(LedgerFile& file, SQLite::Statement& row, Epoch epoch,
                           const EpochFacts& epoch_facts)
{
    const PackedReading packed = facts(row.getColumn(1));
    const Boot boot = find_boot(file, packed.boot);
    LedgerReading found;
    found.reading = {.epoch = epoch,
                     .sequence = Sequence{natural(row.getColumn(0))},
                     .total = packed.total,
                     .constant = epoch_facts.constant,
                     .start = epoch_facts.start,
                     .measured_at = measured_at(boot, packed),
                     .clock = packed.clock,
                     .boot = boot.id,
                     .uptime = packed.uptime,
                     .source = packed.source,
                     .quality = packed.quality,
                     .events = packed.events,
                     .power = packed.power};
    found.received_at = at(sum(number(found.reading.measured_at), packed.delay));
    found.standing = packed.standing;
    found.delivery = packed.delivery;
    return found;
}

} // namespace pulsemeter::row
