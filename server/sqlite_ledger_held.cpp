#include "server/sqlite_ledger_impl.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

// A refused reading that waits for the operator, with its surroundings.
struct Waiting {
    row::Life life;
    row::Held held;
    bool key_taken = false;
};

std::optional<Waiting> find_waiting(LedgerFile& file, const HeldKey& key)
{
    const auto life = row::find_life(file, key.meter, key.epoch);
    if (!life)
        return std::nullopt;
    const auto held = row::find_held(file, key.meter, life->meter, key.epoch, key.sequence);
    if (!held || held->dismissed)
        return std::nullopt;
    return Waiting{*life, *held, row::find_same(file, *life, key.sequence).has_value()};
}

LedgerEvent audit(EventKind kind, const HeldKey& key, const row::Held& held, WallTime now)
{
    const Reading& reading = held.reading;
    return {now, kind, key.meter,
            fmt::format("epoch {} reading {} (total {}, {} imp/kWh, start {} mWh), refused: {}",
                        key.epoch.value, key.sequence.value, reading.total.value,
                        reading.constant.imp_per_kwh, reading.start.value, text(held.reason))};
}

void mark_overruled(LedgerFile& file, const row::Life& life)
{
    const auto query = file.query("UPDATE life SET overruled = 1 WHERE id = ?");
    query->bind(1, life.id);
    query->exec();
}

void dismiss(LedgerFile& file, const row::Life& life, const HeldKey& key)
{
    const auto query =
        file.query("UPDATE held SET dismissed = 1 WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, life.meter);
    query->bind(2, key.epoch.value);
    query->bind(3, row::number(key.sequence.value));
    query->exec();

    // Of these, too, only so many are kept: one that still comes after that is told of once more.
    const auto trim = file.query(
        "DELETE FROM held WHERE meter = ?1 AND (epoch, sequence) IN (SELECT epoch, sequence FROM held "
        "WHERE meter = ?1 AND dismissed = 1 ORDER BY last_seen DESC LIMIT -1 OFFSET ?2)");
    trim->bind(1, life.meter);
    trim->bind(2, row::number(SqliteLedger::most_held_per_meter));
    trim->exec();
}

// One that is held, but can't be told any more.
bool forget_damaged(LedgerFile& file, const HeldKey& key, WallTime now)
{
    const auto meter = row::find_meter(file, key.meter);
    if (!meter || row::find_held(file, key.meter, *meter, key.epoch, key.sequence) ||
        row::delete_held(file, *meter, key.epoch, key.sequence) == 0)
        return false;
    row::insert_event(file, {now, EventKind::held_discarded, key.meter,
                             fmt::format("epoch {} reading {}, refused, was damaged", key.epoch.value,
                                         key.sequence.value)});
    return true;
}

} // namespace

std::string_view text(HeldError error)
{
    switch (error) {
    case HeldError::not_held:
        return "no such reading is held";
    case HeldError::key_taken:
        return "another reading already has that epoch and number: it can only be discarded";
    case HeldError::constant_changed:
        return "its imp/kWh, start value or source is not that of its epoch: it can only be discarded";
    }
    return "unknown";
}

std::vector<HeldReading> SqliteLedger::held(const std::optional<MeterId>& meter)
{
    return impl_->look([&](LedgerFile& file) {
        const auto query =
            file.query("SELECT h.content, h.checksum, m.name, h.epoch, h.sequence, h.reason, h.first_seen, "
                       "h.last_seen, h.repeats "
                       "FROM held h JOIN meter m ON m.id = h.meter "
                       "WHERE h.dismissed = 0 AND (?1 IS NULL OR m.name = ?1) "
                       "ORDER BY m.name, h.epoch, h.sequence");
        if (meter) {
            query->bind(1, meter->text());
        } else {
            query->bind(1);
        }
        std::vector<HeldReading> found;
        while (query->executeStep()) {
            const auto name = MeterId::parse(query->getColumn(2).getString());
            if (!name)
                continue;
            const HeldKey key{*name, {row::small(query->getColumn(3))}, {row::natural(query->getColumn(4))}};
            const auto reading = row::decode_content(key, *query);
            if (!reading) {
                log::warning(
                    "meter {}, epoch {} reading {}: what was refused is damaged and left out: it is held "
                    "anew when the meter sends it again, within an hour",
                    name->text(), key.epoch.value, key.sequence.value);
                continue;
            }
            found.push_back({*name, *reading, static_cast<RefusalReason>(query->getColumn(5).getInt()),
                             row::time(query->getColumn(6)), row::time(query->getColumn(7)),
                             row::natural(query->getColumn(8))});
        }
        return found;
    });
}

tl::expected<void, HeldError> SqliteLedger::accept(const HeldKey& key, WallTime now)
{
    return impl_->write([&](LedgerFile& file) -> tl::expected<void, HeldError> {
        const auto waiting = find_waiting(file, key);
        if (!waiting)
            return tl::unexpected(HeldError::not_held);
        if (waiting->key_taken)
            return tl::unexpected(HeldError::key_taken);
        if (waiting->life.facts != epoch_facts(waiting->held.reading))
            return tl::unexpected(HeldError::constant_changed);
        row::insert_reading(file, waiting->life, waiting->held.reading, waiting->held.first_seen,
                            Standing::accepted_by_operator);
        mark_overruled(file, waiting->life);
        row::note_falls(file, waiting->life, key.sequence);
        row::delete_held(file, waiting->life.meter, key.epoch, key.sequence);
        row::insert_event(file, audit(EventKind::held_accepted, key, waiting->held, now));
        return {};
    });
}

tl::expected<void, HeldError> SqliteLedger::discard(const HeldKey& key, WallTime now)
{
    return impl_->write([&](LedgerFile& file) -> tl::expected<void, HeldError> {
        const auto waiting = find_waiting(file, key);
        if (!waiting && forget_damaged(file, key, now))
            return {};
        if (!waiting)
            return tl::unexpected(HeldError::not_held);
        if (waiting->key_taken) {
            dismiss(file, waiting->life, key); // it comes again, and stays refused
        } else {
            row::insert_reading(file, waiting->life, waiting->held.reading, waiting->held.first_seen,
                                Standing::discarded);
            row::delete_held(file, waiting->life.meter, key.epoch, key.sequence);
        }
        row::insert_event(file, audit(EventKind::held_discarded, key, waiting->held, now));
        return {};
    });
}

} // namespace pulsemeter
