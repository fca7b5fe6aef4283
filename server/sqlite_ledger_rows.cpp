#include "server/sqlite_ledger_impl.hpp"
#include "shared/reading_codec.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>

namespace pulsemeter::row {
namespace {

using Extra = std::array<std::uint8_t, 16>;
constexpr Extra nothing_extra{};

Extra pack(const Quality& quality, std::uint32_t events)
{
    Extra bytes{};
    auto* to = bytes.begin();
    for (const std::uint32_t value : {quality.glitches, quality.missed_edges, quality.uncertain, events}) {
        for (unsigned shift = 32; shift > 0; shift -= 8)
            *to++ = static_cast<std::uint8_t>(value >> (shift - 8));
    }
    return bytes;
}

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

void unpack(const SQLite::Column& column, Reading& reading)
{
    if (column.isNull())
        return;
    const auto bytes = bytes_of<Extra>(column);
    const auto* from = bytes.begin();
    for (std::uint32_t* value : {&reading.quality.glitches, &reading.quality.missed_edges,
                                 &reading.quality.uncertain, &reading.events}) {
        for (int byte = 0; byte < 4; ++byte)
            *value = (*value << 8U) | *from++;
    }
}

std::int64_t boot_key(LedgerFile& file, const BootId& boot)
{
    const auto found = file.query("SELECT id FROM boot WHERE boot = ?");
    found->bind(1, boot.data(), static_cast<int>(boot.size()));
    if (found->executeStep())
        return found->getColumn(0).getInt64();
    const auto made = file.query("INSERT INTO boot (boot) VALUES (?)");
    made->bind(1, boot.data(), static_cast<int>(boot.size()));
    made->exec();
    return file.database().getLastInsertRowid();
}

std::int64_t flags_of(const Reading& reading, Standing standing, Delivery delivery)
{
    std::int64_t flags = 0;
    if (reading.clock == Clock::synchronised)
        flags |= synchronised;
    if (reading.source == Source::measured)
        flags |= measured;
    if (reading.source == Source::unstated)
        flags |= unstated;
    if (standing == Standing::discarded)
        flags |= discarded;
    if (standing == Standing::accepted_by_operator)
        flags |= overruled;
    if (delivery == Delivery::retained)
        flags |= from_retained;
    return flags;
}

Source source_of(std::int64_t flags)
{
    if ((flags & unstated) != 0)
        return Source::unstated;
    return (flags & measured) != 0 ? Source::measured : Source::simulated;
}

Standing standing_of(std::int64_t flags)
{
    if ((flags & discarded) != 0)
        return Standing::discarded;
    return (flags & overruled) != 0 ? Standing::accepted_by_operator : Standing::admitted;
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

Uptime uptime(const SQLite::Column& column)
{
    return Uptime{number(natural(column))};
}

BootId boot(const SQLite::Column& column)
{
    return bytes_of<BootId>(column);
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
    const auto query = file.query("SELECT l.id, l.meter, l.imp, l.start, l.source, l.overruled FROM meter m "
                                  "JOIN life l ON l.meter = m.id WHERE m.name = ? AND l.epoch = ?");
    query->bind(1, meter.text());
    query->bind(2, epoch.value);
    if (!query->executeStep())
        return std::nullopt;
    return Life{query->getColumn(0).getInt64(),
                query->getColumn(1).getInt64(),
                {{small(query->getColumn(2))},
                 {natural(query->getColumn(3))},
                 static_cast<Source>(query->getColumn(4).getInt())},
                query->getColumn(5).getInt() != 0};
}

std::optional<SameKey> find_same(LedgerFile& file, const Life& life, Sequence sequence)
{
    const auto query =
        file.query("SELECT total, measured, flags FROM reading WHERE life = ? AND sequence = ?");
    query->bind(1, life.id);
    query->bind(2, number(sequence.value));
    if (!query->executeStep())
        return std::nullopt;
    return SameKey{
        {natural(query->getColumn(0))}, time(query->getColumn(1)), source_of(query->getColumn(2).getInt64())};
}

std::optional<Held> find_held(LedgerFile& file, const MeterId& meter, std::int64_t meter_key, Epoch epoch,
                              Sequence sequence)
{
    const auto query = file.query("SELECT content, reason, first_seen, last_seen, dismissed FROM held "
                                  "WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, meter_key);
    query->bind(2, epoch.value);
    query->bind(3, number(sequence.value));
    if (!query->executeStep())
        return std::nullopt;
    return Held{decode_content(meter, query->getColumn(0)),
                static_cast<RefusalReason>(query->getColumn(1).getInt()), time(query->getColumn(2)),
                time(query->getColumn(3)), query->getColumn(4).getInt() != 0};
}

Reading decode_content(const MeterId& meter, const SQLite::Column& content)
{
    const auto bytes = bytes_of<Plaintext>(content);
    const auto message = decode_up(meter, bytes);
    if (!message || !std::holds_alternative<Reading>(*message))
        throw SQLite::Exception("a held reading that is none", SQLITE_CORRUPT);
    return std::get<Reading>(*message);
}

void insert_reading(LedgerFile& file, const Life& life, const Reading& reading, WallTime received_at,
                    Standing standing, Delivery delivery)
{
    const auto query =
        file.query("INSERT INTO reading (life, sequence, total, measured, delay, boot, uptime, "
                   "flags, power, extra) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    query->bind(1, life.id);
    query->bind(2, number(reading.sequence.value));
    query->bind(3, number(reading.total.value));
    query->bind(4, number(reading.measured_at));
    query->bind(5, static_cast<std::int64_t>((received_at - reading.measured_at).count()));
    query->bind(6, boot_key(file, reading.boot));
    query->bind(7, static_cast<std::int64_t>(reading.uptime.count()));
    query->bind(8, flags_of(reading, standing, delivery));
    if (reading.power) {
        query->bind(9, reading.power->value);
    } else {
        query->bind(9);
    }
    const Extra extra = pack(reading.quality, reading.events);
    if (extra == nothing_extra) {
        query->bind(10);
    } else {
        query->bind(10, extra.data(), static_cast<int>(extra.size()));
    }
    query->exec();
    file.new_rows.try_emplace({life.id, day_of(received_at)}, NewRows{life.meter, received_at, {}})
        .first->second.sequences.push_back(number(reading.sequence.value));
}

void delete_held(LedgerFile& file, std::int64_t meter_key, Epoch epoch, Sequence sequence)
{
    const auto query = file.query("DELETE FROM held WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, meter_key);
    query->bind(2, epoch.value);
    query->bind(3, number(sequence.value));
    query->exec();
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

LedgerReading reading_from(SQLite::Statement& row, Epoch epoch, const EpochFacts& facts)
{
    const std::int64_t flags = row.getColumn(6).getInt64();
    LedgerReading found;
    Reading& reading = found.reading;
    reading.epoch = epoch;
    reading.sequence = Sequence{natural(row.getColumn(0))};
    reading.total = Pulses{natural(row.getColumn(1))};
    reading.constant = facts.constant;
    reading.start = facts.start;
    reading.measured_at = time(row.getColumn(2));
    reading.clock = (flags & synchronised) != 0 ? Clock::synchronised : Clock::unsynchronised;
    reading.boot = boot(row.getColumn(4));
    reading.uptime = uptime(row.getColumn(5));
    reading.source = source_of(flags);
    if (!row.getColumn(7).isNull())
        reading.power = Milliwatts{small(row.getColumn(7))};
    unpack(row.getColumn(8), reading);
    // Added without a sign, so that no damage overflows; at() then judges it.
    found.received_at =
        at(static_cast<std::int64_t>(static_cast<std::uint64_t>(number(reading.measured_at)) +
                                     static_cast<std::uint64_t>(row.getColumn(3).getInt64())));
    found.standing = standing_of(flags);
    found.delivery = (flags & from_retained) != 0 ? Delivery::retained : Delivery::live;
    return found;
}

} // namespace pulsemeter::row
