#include "server/decimal.hpp"
#include "server/register_change.hpp"
#include "server/sqlite_ledger_impl.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {
namespace {

// A sum that would not fit becomes a part of its own, so that none wraps.
void add(std::vector<ConsumedPulses>& consumption, MeterConstant constant, std::uint64_t pulses)
{
    const auto fits = std::find_if(consumption.begin(), consumption.end(), [&](const ConsumedPulses& part) {
        return part.constant == constant && part.pulses.value <= largest_integer - pulses;
    });
    if (fits != consumption.end()) {
        fits->pulses.value += pulses;
    } else {
        consumption.push_back({constant, Pulses{pulses}});
    }
}

// Few: each is an act of the operator.
Wide falls(LedgerFile& file, std::int64_t life, Sequence until)
{
    const auto query = file.query("SELECT pulses FROM fall WHERE life = ? AND sequence <= ?");
    query->bind(1, life);
    query->bind(2, row::number(until.value));
    Wide sum = 0;
    while (query->executeStep())
        sum += row::natural(query->getColumn(0));
    return sum;
}

// The total of the newest one up to `until` that counts.
std::uint64_t last_total(LedgerFile& file, std::int64_t life, Sequence until)
{
    const auto query = file.query("SELECT facts FROM reading WHERE life = ? AND sequence <= ? "
                                  "AND facts < x'80' ORDER BY sequence DESC LIMIT 1");
    query->bind(1, life);
    query->bind(2, row::number(until.value));
    return query->executeStep() ? row::facts(query->getColumn(0)).total.value : 0;
}

// Simulated energy never joins another. What the classic wire has brought is a meter's as far as anyone knows, and goes
// with measured energy: who moves over to the sealed wire keeps what was used before.
// Of an epoch it is Σ of the rises = last − first + Σ of the falls, so that no length of an epoch makes it slow.
// `known_last` is the total of `until`, unless that may have been discarded.
std::vector<ConsumedPulses> consumption(LedgerFile& file, const MeterId& meter, const Reading& until,
                                        std::optional<Pulses> known_last)
{
    static_assert(static_cast<int>(Source::simulated) == 2);
    const auto lives =
        file.query("SELECT l.id, l.epoch, l.imp, l.overruled, (SELECT facts FROM reading WHERE life = l.id "
                   "AND sequence <= iif(l.epoch = ?3, ?4, ?5) AND facts < x'80' ORDER BY sequence LIMIT 1) "
                   "FROM meter m JOIN life l ON l.meter = m.id "
                   "WHERE m.name = ?1 AND (l.source = 2) = ?2 AND l.epoch <= ?3 ORDER BY l.epoch");
    lives->bind(1, meter.text());
    lives->bind(2, until.source == Source::simulated ? 1 : 0);
    lives->bind(3, until.epoch.value);
    lives->bind(4, row::number(until.sequence.value));
    lives->bind(5, row::number(largest_integer));
    std::vector<ConsumedPulses> sum;
    while (lives->executeStep()) {
        const std::int64_t life = lives->getColumn(0).getInt64();
        const bool own = row::small(lives->getColumn(1)) == until.epoch.value;
        const Sequence end = own ? until.sequence : Sequence{largest_integer};
        const bool may_have_fallen = lives->getColumn(3).getInt() != 0;
        const std::uint64_t first =
            lives->getColumn(4).isNull() ? 0 : row::facts(lives->getColumn(4)).total.value; // none counts
        const Wide risen_to = (own && known_last ? known_last->value : last_total(file, life, end)) +
                              (may_have_fallen ? falls(file, life, end) : Wide{0});
        Wide pulses = risen_to > first ? risen_to - first : 0;
        const MeterConstant constant{row::small(lives->getColumn(2))};
        for (; pulses > largest_integer; pulses -= largest_integer)
            add(sum, constant, largest_integer);
        add(sum, constant, static_cast<std::uint64_t>(pulses));
    }
    return sum;
}

// From the newest two neighbours of one boot among the last three readings. Sequence 1 tells where an epoch starts,
// and the next one follows at once.
std::optional<std::chrono::milliseconds> interval(LedgerFile& file, std::int64_t life)
{
    const auto query = file.query("SELECT sequence, facts FROM reading WHERE life = ? AND sequence > 1 "
                                  "AND facts < x'80' ORDER BY sequence DESC LIMIT 3");
    query->bind(1, life);
    struct Row {
        std::int64_t sequence;
        Uptime uptime;
        BootId boot;
    };
    std::optional<Row> later;
    while (query->executeStep()) {
        const PackedReading facts = row::facts(query->getColumn(1));
        const Row row{row::number(row::natural(query->getColumn(0))), facts.uptime,
                      row::find_boot(file, facts.boot).id};
        if (later && later->boot == row.boot && later->uptime > row.uptime)
            return (later->uptime - row.uptime) / (later->sequence - row.sequence);
        later = row;
    }
    return std::nullopt;
}

// The meter's own if its clock was synchronised.
WallTime time_of(const LedgerReading& found)
{
    return found.reading.clock == Clock::synchronised ? found.reading.measured_at : found.received_at;
}

// The reading by which the operator's setting of the register began this epoch; nothing if it began otherwise.
std::optional<LedgerReading> set_by(LedgerFile& file, const row::Life& life, Epoch epoch)
{
    const auto first =
        file.query("SELECT sequence, facts FROM reading WHERE life = ? AND sequence = 1 AND facts < x'80'");
    first->bind(1, life.id);
    if (!first->executeStep())
        return std::nullopt;
    const LedgerReading found = row::reading_from(file, *first, epoch, life.facts);
    return register_change(found.reading) ? std::optional(found) : std::nullopt;
}

// Of a row whose first columns are these.
LedgerEvent event_from(SQLite::Statement& row)
{
    const SQLite::Column meter = row.getColumn(2);
    return {row::time(row.getColumn(0)), static_cast<EventKind>(row.getColumn(1).getInt()),
            meter.isNull() ? std::nullopt : MeterId::parse(meter.getString()), row.getColumn(3).getString()};
}

} // namespace

std::string_view text(Standing standing)
{
    switch (standing) {
    case Standing::admitted:
        return "admitted";
    case Standing::accepted_by_operator:
        return "accepted by the operator";
    case Standing::discarded:
        return "discarded";
    }
    return "unknown";
}

std::string_view text(EventKind kind)
{
    switch (kind) {
    case EventKind::epoch_started:
        return "epoch_started";
    case EventKind::refused:
        return "refused";
    case EventKind::conflict:
        return "conflict";
    case EventKind::held_accepted:
        return "held_accepted";
    case EventKind::held_discarded:
        return "held_discarded";
    case EventKind::held_resolved:
        return "held_resolved";
    case EventKind::held_full:
        return "held_full";
    case EventKind::bad_tokens:
        return "bad_tokens";
    case EventKind::register_set:
        return "register_set";
    case EventKind::gap:
        return "gap";
    case EventKind::clone:
        return "clone";
    case EventKind::damaged:
        return "damaged";
    case EventKind::client_id_contested:
        return "client_id_contested";
    }
    return "unknown";
}

std::vector<MeterId> SqliteLedger::meters()
{
    return impl_->look([](LedgerFile& file) {
        const auto query = file.query("SELECT name FROM meter ORDER BY id");
        std::vector<MeterId> found;
        while (query->executeStep()) {
            if (auto id = MeterId::parse(query->getColumn(0).getString()))
                found.push_back(*std::move(id));
        }
        return found;
    });
}

std::optional<MeterSummary> SqliteLedger::summary(const MeterId& meter)
{
    return impl_->look([&](LedgerFile& file) -> std::optional<MeterSummary> {
        const auto key = row::find_meter(file, meter);
        if (!key)
            return std::nullopt;
        const auto newest_life =
            file.query("SELECT epoch FROM life WHERE meter = ? ORDER BY epoch DESC LIMIT 1");
        newest_life->bind(1, *key);
        if (!newest_life->executeStep())
            return std::nullopt;
        const Epoch epoch{row::small(newest_life->getColumn(0))};
        const auto life = row::find_life(file, meter, epoch);
        if (!life)
            return std::nullopt;

        const auto newest = file.query("SELECT sequence, facts FROM reading WHERE life = ? AND facts < x'80' "
                                       "ORDER BY sequence DESC LIMIT 1");
        newest->bind(1, life->id);
        if (!newest->executeStep())
            return std::nullopt;
        const LedgerReading found = row::reading_from(file, *newest, epoch, life->facts);

        const auto counts =
            file.query("SELECT refused, (SELECT count(*) FROM held WHERE held.meter = meter.id AND "
                       "dismissed = 0) FROM meter WHERE id = ?");
        counts->bind(1, *key);
        counts->executeStep();
        MeterSummary summary{found.reading,
                             found.received_at,
                             found.delivery,
                             consumption(file, meter, found.reading, found.reading.total),
                             interval(file, life->id),
                             row::natural(counts->getColumn(0)),
                             row::natural(counts->getColumn(1)),
                             set_by(file, *life, epoch),
                             row::find_gaps(file, *key)};
        if (const auto heard = row::find_heard(file, life->id)) {
            const bool row_was_live = found.delivery == Delivery::live;
            summary.received_at = row_was_live ? std::max(found.received_at, heard->at) : heard->at;
            summary.delivery = Delivery::live;
            summary.interval = heard->gap;
        }
        return summary;
    });
}

std::vector<std::vector<ConsumedPulses>>
SqliteLedger::consumption_until(std::span<const AdmittedReading> readings)
{
    if (readings.empty())
        return {};
    return impl_->look([&](LedgerFile& file) {
        std::vector<std::vector<ConsumedPulses>> found;
        found.reserve(readings.size());
        for (const AdmittedReading& each : readings) {
            const bool counts = each.novelty == Novelty::first_time;
            found.push_back(consumption(file, each.meter, each.reading,
                                        counts ? std::optional(each.reading.total) : std::nullopt));
        }
        return found;
    });
}

void SqliteLedger::readings(const MeterId& meter, WallTime since,
                            const std::function<void(const LedgerReading&)>& each)
{
    impl_->look([&](LedgerFile& file) {
        const auto key = row::find_meter(file, meter);
        if (!key)
            return true;
        for (const row::MeterLife& life : row::lives_of(file, *key)) {
            const auto rows =
                file.query("SELECT sequence, facts FROM reading WHERE life = ? ORDER BY sequence");
            rows->bind(1, life.id);
            while (rows->executeStep()) {
                const LedgerReading found = row::reading_from(file, *rows, life.epoch, life.facts);
                if (time_of(found) >= since)
                    each(found);
            }
        }
        return true;
    });
}

std::vector<LedgerEvent> SqliteLedger::events(std::size_t most, const std::optional<MeterId>& meter)
{
    return impl_->look([&](LedgerFile& file) {
        const auto query =
            file.query("SELECT at, kind, meter, detail FROM event WHERE ?2 IS NULL OR meter = ?2 "
                       "ORDER BY id DESC LIMIT ?1");
        query->bind(1, row::number(std::min<std::uint64_t>(most, largest_integer)));
        if (meter) {
            query->bind(2, meter->text());
        } else {
            query->bind(2);
        }
        std::vector<LedgerEvent> found;
        while (query->executeStep())
            found.push_back(event_from(*query));
        return found;
    });
}

// What says more than that a reading is held or missing, which the meter's own state shows.
std::vector<LedgerAlarm> SqliteLedger::alarms(WallTime since)
{
    static_assert(static_cast<int>(EventKind::conflict) == 3 && static_cast<int>(EventKind::held_full) == 7 &&
                  static_cast<int>(EventKind::bad_tokens) == 8 && static_cast<int>(EventKind::clone) == 13 &&
                  static_cast<int>(EventKind::damaged) == 14 &&
                  static_cast<int>(EventKind::client_id_contested) == 15);
    return impl_->look([&](LedgerFile& file) {
        // The other columns are those of the row that has the max (SQLite's "bare columns in an aggregate query").
        const auto query =
            file.query("SELECT at, kind, meter, detail, count(*), max(id) FROM event WHERE at >= ? AND "
                       "kind IN (3, 7, 8, 13, 14, 15) GROUP BY meter, kind ORDER BY max(id) DESC");
        query->bind(1, row::number(since));
        std::vector<LedgerAlarm> found;
        while (query->executeStep())
            found.push_back({event_from(*query), row::natural(query->getColumn(4))});
        return found;
    });
}

} // namespace pulsemeter
