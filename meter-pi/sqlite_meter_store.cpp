#include "meter-pi/sqlite_meter_store.hpp"

#include "meter-pi/sqlite_meter_store_impl.hpp"
#include "meter-pi/store_owner.hpp"
#include "shared/errors.hpp"
#include "shared/log.hpp"

#include <boost/crc.hpp>

#include <algorithm>
#include <array>
#include <cstring>

namespace pulsemeter {

namespace {

constexpr const char* columns =
    "epoch, sequence, total, imp, start, measured, clock, boot, uptime, source, glitches, "
    "missed, uncertain, events, power";

std::int64_t number(std::uint64_t value)
{
    return static_cast<std::int64_t>(value); // every value of ours is at most 2^63−1 (reading.hpp)
}

std::uint64_t natural(const SQLite::Column& column)
{
    return static_cast<std::uint64_t>(column.getInt64());
}

std::uint32_t small(const SQLite::Column& column)
{
    return static_cast<std::uint32_t>(column.getInt64());
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

// Nothing: it is damaged. One that a meter-pi without checksums stored has none.
std::optional<Reading> reading_from(SQLite::Statement& row)
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

} // namespace

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

void SqliteMeterStore::Impl::note(SQLite::Database& db, const char* name, const std::string& value)
{
    SQLite::Statement row(db, "INSERT OR REPLACE INTO note VALUES (?, ?)");
    row.bind(1, name);
    row.bind(2, value);
    row.exec();
}

std::string SqliteMeterStore::Impl::noted(SQLite::Database& db, const char* name)
{
    SQLite::Statement row(db, "SELECT value FROM note WHERE name = ?");
    row.bind(1, name);
    return row.executeStep() ? row.getColumn(0).getString() : std::string{};
}

// Whole rows go, a twentieth of the limit at once. Of the older half first every odd number, then every second one of what
// is left, and so on, each time from the oldest on: so the older half stays evenly spaced, however often this is done, and
// the newer one is as it was measured. The ends of an epoch stay: nothing after its last reading could heal the total.
// What is held waits for an operator, and goes only where nothing else is.
std::size_t SqliteMeterStore::Impl::thin(SQLite::Database& db)
{
    for (const char* part : {"held = 0", "held <> 0"}) {
        SQLite::Statement victims(
            db, fmt::format("DELETE FROM outbox WHERE (epoch, sequence) IN ("
                            "SELECT epoch, sequence FROM ("
                            "SELECT epoch, sequence FROM outbox WHERE {0} ORDER BY epoch, sequence "
                            "LIMIT (SELECT (count(*) + 1) / 2 FROM outbox WHERE {0})) AS old "
                            "WHERE sequence > 1 AND "
                            "sequence < (SELECT max(sequence) FROM outbox WHERE epoch = old.epoch AND {0}) "
                            "ORDER BY sequence & -sequence, epoch, sequence LIMIT ?)",
                            part));
        victims.bind(1, number(std::max<std::size_t>(limit / 20, 1)));
        if (const int gone = victims.exec(); gone > 0)
            return static_cast<std::size_t>(gone);
    }
    return 0;
}

// A damaged reading is dropped: later totals heal it, and the others must not wait for it.
std::vector<Reading> SqliteMeterStore::Impl::select(SQLite::Database& db, const std::string& condition,
                                                    const ReadingKey& after, std::size_t most)
{
    std::vector<Reading> readings;
    std::vector<DamagedRow> damaged;
    {
        SQLite::Statement row(db,
                              fmt::format("SELECT {}, {} FROM outbox WHERE {} AND (epoch, sequence) > (?, ?) "
                                          "ORDER BY epoch, sequence",
                                          columns, has_checksums ? "checksum" : "NULL", condition));
        row.bind(1, std::int64_t{after.epoch.value});
        row.bind(2, number(after.sequence.value));
        while (readings.size() < most && row.executeStep()) {
            if (auto reading = reading_from(row)) {
                readings.push_back(*reading);
            } else {
                damaged.push_back(
                    {row.getColumn(0).getInt64(), row.getColumn(1).getInt64(), row.getColumn(15).getInt64()});
            }
        }
    }
    if (access == StoreAccess::own && !damaged.empty())
        drop(db, damaged);
    return readings;
}

// As far as the disk lets us: what stays is passed over. A damaged key is not found where it ought to be, and may be that of
// a sound row, so all rows are looked through, and the checksum must be the damaged one's too.
void SqliteMeterStore::Impl::drop(SQLite::Database& db, std::span<const DamagedRow> damaged)
{
    std::size_t dropped = 0;
    try {
        SQLite::Transaction transaction(db);
        for (const DamagedRow& each : damaged) {
            SQLite::Statement row(db,
                                  "DELETE FROM outbox WHERE +epoch = ? AND +sequence = ? AND checksum IS ?");
            row.bind(1, each.epoch);
            row.bind(2, each.sequence);
            row.bind(3, each.checksum);
            dropped += static_cast<std::size_t>(row.exec());
        }
        transaction.commit();
        rows -= dropped;
    } catch (const SQLite::Exception& failure) {
        log::debug("{}: a damaged row can't be removed: {}", path.string(), failure.what());
        dropped = 0;
    }
    if (dropped == 0 && damage_is_told)
        return;
    damage_is_told = true;
    log::error("{}: {} readings that no server has confirmed are damaged, the first of them {} of epoch {}: "
               "they are "
               "left out, later totals hold what they counted; check the card",
               path.string(), damaged.size(), damaged.front().sequence, damaged.front().epoch);
}

SqliteMeterStore::SqliteMeterStore(const std::filesystem::path& folder, StoreAccess access,
                                   std::size_t outbox_limit)
    : impl_(std::make_unique<Impl>(Impl{folder / "meter.sqlite", access, outbox_limit, {}}))
{
    std::error_code error;
    if (access == StoreAccess::look && !std::filesystem::exists(impl_->path, error)) {
        if (error) {
            throw UsageError(fmt::format("{}: {}; run this as the meter's user, or as root", folder.string(),
                                         error.message()));
        }
        throw UsageError(
            fmt::format("{}: no meter has run here yet; name its folder with --state", folder.string()));
    }
    impl_->run([](SQLite::Database&) {});
}

SqliteMeterStore::~SqliteMeterStore() = default;

void SqliteMeterStore::claim(const std::string& owner)
{
    const std::string known_owner = impl_->run([&](SQLite::Database& db) {
        std::string known = Impl::noted(db, "meter");
        if (known.empty())
            Impl::note(db, "meter", owner);
        return known;
    });
    if (!known_owner.empty() && known_owner != owner) {
        throw UsageError(fmt::format("{} keeps the register of meter {}, not of {}: {}",
                                     impl_->path.parent_path().string(), known_owner, owner,
                                     remedy_for_owner(impl_->path.parent_path(), known_owner, owner)));
    }
}

std::string SqliteMeterStore::owner()
{
    return impl_->run([](SQLite::Database& db) { return Impl::noted(db, "meter"); });
}

std::optional<StoredRegister> SqliteMeterStore::load(Source source)
{
    return impl_->run([&](SQLite::Database& db) { return impl_->load(db, source); });
}

Epoch SqliteMeterStore::highest_epoch()
{
    return impl_->run([](SQLite::Database& db) {
        return Epoch{small(db.execAndGet("SELECT max(ifnull((SELECT max(epoch) FROM register), 0), "
                                         "ifnull((SELECT max(epoch) FROM outbox), 0))"))};
    });
}

std::optional<std::string> SqliteMeterStore::confirmation_token()
{
    return impl_->run([](SQLite::Database& db) -> std::optional<std::string> {
        SQLite::Statement row(db, "SELECT confirmation FROM register WHERE confirmation IS NOT NULL");
        return row.executeStep() ? std::optional(row.getColumn(0).getString()) : std::nullopt;
    });
}

std::string SqliteMeterStore::condition()
{
    return impl_->run([](SQLite::Database& db) { return Impl::noted(db, "condition"); });
}

std::size_t SqliteMeterStore::commit(const StoreChange& change)
{
    return impl_->run([&](SQLite::Database& db) {
        SQLite::Transaction transaction(db);
        std::size_t rows = impl_->rows;
        Impl::save(db, change.register_now, change.confirmation_token);
        for (const Confirmation& range : change.confirmed) {
            SQLite::Statement forget(db, "DELETE FROM outbox WHERE epoch = ? AND sequence BETWEEN ? AND ?");
            forget.bind(1, std::int64_t{range.epoch.value});
            forget.bind(2, number(range.first.value));
            forget.bind(3, number(range.last.value));
            rows -= static_cast<std::size_t>(forget.exec());
        }
        for (const Refused& refusal : change.refused) {
            SQLite::Statement hold(db, "UPDATE outbox SET held = ? WHERE epoch = ? AND sequence = ?");
            hold.bind(1, static_cast<int>(refusal.reason));
            hold.bind(2, std::int64_t{refusal.epoch.value});
            hold.bind(3, number(refusal.sequence.value));
            hold.exec();
        }
        std::size_t thinned = 0;
        if (change.reading) {
            if (rows >= impl_->limit)
                thinned = impl_->thin(db);
            impl_->append(db, *change.reading);
            rows += 1 - thinned;
        }
        if (Impl::noted(db, "condition") != change.condition)
            Impl::note(db, "condition", change.condition);
        transaction.commit();
        impl_->rows = rows;
        return thinned;
    });
}

std::vector<Reading> SqliteMeterStore::outbox(const ReadingKey& after, std::size_t most)
{
    return impl_->run([&](SQLite::Database& db) { return impl_->select(db, "held = 0", after, most); });
}

std::vector<Reading> SqliteMeterStore::held(const ReadingKey& after, std::size_t most)
{
    return impl_->run([&](SQLite::Database& db) { return impl_->select(db, "held <> 0", after, most); });
}

std::size_t SqliteMeterStore::outbox_size()
{
    return impl_->run([](SQLite::Database& db) {
        return static_cast<std::size_t>(db.execAndGet("SELECT count(*) FROM outbox").getInt64());
    });
}

std::size_t SqliteMeterStore::held_size()
{
    return impl_->run([](SQLite::Database& db) {
        return static_cast<std::size_t>(
            db.execAndGet("SELECT count(*) FROM outbox WHERE held <> 0").getInt64());
    });
}

} // namespace pulsemeter
