// The rows of SqliteMeterStore: a register and a reading as columns and back, each with its checksum.
#include "meter-pi/sqlite_meter_store_impl.hpp"

#include <boost/crc.hpp>

#include <array>
#include <cstring>

namespace pulsemeter {
namespace {

std::uint64_t natural(const SQLite::Column& column)
{
    return static_cast<std::uint64_t>(column.getInt64());
}

// SQLite's own checks see a page that is no page, not a bit of a number.
std::uint32_t checksum(std::initializer_list<std::uint64_t> fields)
{
    boost::crc_32_type sum;
    for (std::uint64_t field : fields) {
        for (int byte = 0; byte < 8; ++byte, field >>= 8U)
            sum.process_byte(static_cast<unsigned char>(field));
    }
    return sum.checksum();
}

std::uint32_t checksum(const StoredRegister& stored)
{
    const Renewal renewal = stored.renewal.value_or(Renewal{});
    return checksum({static_cast<std::uint64_t>(stored.source), stored.epoch.value, stored.last.value,
                     stored.total.value, stored.numbered.value, stored.constant.imp_per_kwh,
                     stored.start.value, stored.quality.glitches, stored.quality.missed_edges,
                     stored.quality.uncertain, std::uint64_t{stored.renewal.has_value()}, renewal.start.value,
                     renewal.constant.imp_per_kwh, renewal.total.value, renewal.events});
}

std::uint32_t checksum(const Reading& reading)
{
    std::array<std::uint64_t, 2> boot{};
    static_assert(sizeof(boot) == sizeof(BootId));
    std::memcpy(boot.data(), reading.boot.data(), sizeof(boot));
    return checksum(
        {reading.epoch.value, reading.sequence.value, reading.total.value, reading.constant.imp_per_kwh,
         reading.start.value, static_cast<std::uint64_t>(reading.measured_at.time_since_epoch().count()),
         static_cast<std::uint64_t>(reading.clock), boot[0], boot[1],
         static_cast<std::uint64_t>(reading.uptime.count()), static_cast<std::uint64_t>(reading.source),
         reading.quality.glitches, reading.quality.missed_edges, reading.quality.uncertain, reading.events,
         std::uint64_t{reading.power.has_value()}, reading.power.value_or(Milliwatts{}).value});
}

} // namespace

std::int64_t SqliteMeterStore::Impl::number(std::uint64_t value)
{
    return static_cast<std::int64_t>(value);
}

std::uint32_t SqliteMeterStore::Impl::small(const SQLite::Column& column)
{
    return static_cast<std::uint32_t>(column.getInt64());
}

// Without a new confirmation the last one stays.
void SqliteMeterStore::Impl::save(SQLite::Database& db, const StoredRegister& stored,
                                  const std::optional<std::string>& confirmation)
{
    SQLite::Statement row(
        db, "INSERT OR REPLACE INTO register (source, epoch, last, total, numbered, imp, start, "
            "glitches, missed, uncertain, confirmation, checksum) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
            "ifnull(?11, (SELECT confirmation FROM register WHERE source = ?1)), ?12)");
    row.bind(1, static_cast<int>(stored.source));
    row.bind(2, std::int64_t{stored.epoch.value});
    row.bind(3, number(stored.last.value));
    row.bind(4, number(stored.total.value));
    row.bind(5, number(stored.numbered.value));
    row.bind(6, std::int64_t{stored.constant.imp_per_kwh});
    row.bind(7, number(stored.start.value));
    row.bind(8, std::int64_t{stored.quality.glitches});
    row.bind(9, std::int64_t{stored.quality.missed_edges});
    row.bind(10, std::int64_t{stored.quality.uncertain});
    if (confirmation)
        row.bind(11, *confirmation);
    row.bind(12, std::int64_t{checksum(stored)});
    row.exec();
    if (confirmation) {
        SQLite::Statement older(
            db, "UPDATE register SET confirmation = NULL WHERE source <> ? AND confirmation IS NOT NULL");
        older.bind(1, static_cast<int>(stored.source));
        older.exec();
    }
    save_renewal(db, stored);
}

void SqliteMeterStore::Impl::save_renewal(SQLite::Database& db, const StoredRegister& stored)
{
    if (!stored.renewal) {
        SQLite::Statement done(db, "DELETE FROM renewal WHERE source = ?");
        done.bind(1, static_cast<int>(stored.source));
        done.exec();
        return;
    }
    SQLite::Statement row(db, "INSERT OR REPLACE INTO renewal VALUES (?, ?, ?, ?, ?)");
    row.bind(1, static_cast<int>(stored.source));
    row.bind(2, number(stored.renewal->start.value));
    row.bind(3, std::int64_t{stored.renewal->constant.imp_per_kwh});
    row.bind(4, number(stored.renewal->total.value));
    row.bind(5, std::int64_t{stored.renewal->events});
    row.exec();
}

std::optional<Renewal> SqliteMeterStore::Impl::load_renewal(SQLite::Database& db, Source source)
{
    SQLite::Statement row(db, "SELECT start, imp, total, events FROM renewal WHERE source = ?");
    row.bind(1, static_cast<int>(source));
    if (!row.executeStep())
        return std::nullopt;
    return Renewal{MilliwattHours{natural(row.getColumn(0))}, MeterConstant{small(row.getColumn(1))},
                   Pulses{natural(row.getColumn(2))}, small(row.getColumn(3))};
}

std::optional<StoredRegister> SqliteMeterStore::Impl::load(SQLite::Database& db, Source source) const
{
    SQLite::Statement row(
        db, fmt::format("SELECT epoch, last, total, numbered, imp, start, glitches, missed, uncertain{} "
                        "FROM register WHERE source = ?",
                        has_checksums ? ", checksum" : ""));
    row.bind(1, static_cast<int>(source));
    if (!row.executeStep())
        return std::nullopt;
    const StoredRegister stored{
        .source = source,
        .epoch = Epoch{small(row.getColumn(0))},
        .last = Sequence{natural(row.getColumn(1))},
        .total = Pulses{natural(row.getColumn(2))},
        .numbered = Pulses{natural(row.getColumn(3))},
        .constant = MeterConstant{small(row.getColumn(4))},
        .start = MilliwattHours{natural(row.getColumn(5))},
        .quality = {small(row.getColumn(6)), small(row.getColumn(7)), small(row.getColumn(8))},
        .renewal = load_renewal(db, source),
    };
    if (has_checksums && row.getColumn(9).getInt64() != std::int64_t{checksum(stored)})
        throw SQLite::Exception("the register is damaged", SQLITE_CORRUPT);
    return stored;
}

void SqliteMeterStore::Impl::append(SQLite::Database& db, const Reading& reading)
{
    SQLite::Statement row(
        db, fmt::format(
                "INSERT INTO outbox ({}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                columns));
    row.bind(1, std::int64_t{reading.epoch.value});
    row.bind(2, number(reading.sequence.value));
    row.bind(3, number(reading.total.value));
    row.bind(4, std::int64_t{reading.constant.imp_per_kwh});
    row.bind(5, number(reading.start.value));
    row.bind(6, std::int64_t{reading.measured_at.time_since_epoch().count()});
    row.bind(7, static_cast<int>(reading.clock));
    row.bind(8, reading.boot.data(), static_cast<int>(reading.boot.size()));
    row.bind(9, std::int64_t{reading.uptime.count()});
    row.bind(10, static_cast<int>(reading.source));
    row.bind(11, std::int64_t{reading.quality.glitches});
    row.bind(12, std::int64_t{reading.quality.missed_edges});
    row.bind(13, std::int64_t{reading.quality.uncertain});
    row.bind(14, std::int64_t{reading.events});
    if (reading.power)
        row.bind(15, std::int64_t{reading.power->value});
    row.bind(16, std::int64_t{checksum(reading)});
    row.exec();
}

std::optional<Reading> SqliteMeterStore::Impl::reading_from(SQLite::Statement& row)
{
    Reading reading{
        .epoch = Epoch{small(row.getColumn(0))},
        .sequence = Sequence{natural(row.getColumn(1))},
        .total = Pulses{natural(row.getColumn(2))},
        .constant = MeterConstant{small(row.getColumn(3))},
        .start = MilliwattHours{natural(row.getColumn(4))},
        .measured_at = WallTime{std::chrono::milliseconds{row.getColumn(5).getInt64()}},
        .clock = static_cast<Clock>(row.getColumn(6).getInt()),
        .uptime = Uptime{row.getColumn(8).getInt64()},
        .source = static_cast<Source>(row.getColumn(9).getInt()),
        .quality = {small(row.getColumn(10)), small(row.getColumn(11)), small(row.getColumn(12))},
        .events = small(row.getColumn(13)),
    };
    const auto boot = row.getColumn(7);
    if (boot.getBytes() != static_cast<int>(reading.boot.size()))
        return std::nullopt;
    std::memcpy(reading.boot.data(), boot.getBlob(), reading.boot.size());
    if (!row.getColumn(14).isNull())
        reading.power = Milliwatts{small(row.getColumn(14))};
    const auto sum = row.getColumn(15);
    const bool is_sound = sum.isNull() || sum.getInt64() == std::int64_t{checksum(reading)};
    return is_sound ? std::optional(reading) : std::nullopt;
}

} // namespace pulsemeter
