#include "meter-pi/sqlite_meter_store.hpp"

#include "meter-pi/sqlite_meter_store_impl.hpp"
#include "meter-pi/store_owner.hpp"
#include "shared/errors.hpp"
#include "shared/log.hpp"

#include <algorithm>

namespace pulsemeter {

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
        return Epoch{Impl::small(db.execAndGet("SELECT max(ifnull((SELECT max(epoch) FROM register), 0), "
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
            forget.bind(2, Impl::number(range.first.value));
            forget.bind(3, Impl::number(range.last.value));
            rows -= static_cast<std::size_t>(forget.exec());
        }
        for (const Refused& refusal : change.refused) {
            SQLite::Statement hold(db, "UPDATE outbox SET held = ? WHERE epoch = ? AND sequence = ?");
            hold.bind(1, static_cast<int>(refusal.reason));
            hold.bind(2, std::int64_t{refusal.epoch.value});
            hold.bind(3, Impl::number(refusal.sequence.value));
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
