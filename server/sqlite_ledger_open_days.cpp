#include "server/sqlite_ledger_impl.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <string>

namespace pulsemeter {
namespace row {
namespace {

void note_late(LedgerFile& file, std::int64_t life, const NewRows& rows)
{
    for (const auto& [sequence, checksum] : rows.rows) {
        const auto query = file.query("INSERT INTO late (life, sequence, checksum) VALUES (?, ?, ?)");
        query->bind(1, life);
        query->bind(2, sequence);
        query->bind(3, std::int64_t{checksum});
        query->exec();
    }
}

} // namespace

std::int64_t sealed_until(LedgerFile& file, std::int64_t meter_key)
{
    const auto query = file.query("SELECT day FROM seal WHERE meter = ? ORDER BY number DESC LIMIT 1");
    query->bind(1, meter_key);
    return query->executeStep() ? query->getColumn(0).getInt64() : -1;
}

std::uint32_t sum_of(const LedgerReading& reading, const EpochFacts& epoch)
{
    std::vector<std::uint8_t> bytes = chain_bytes({}, reading);
    bytes.push_back(static_cast<std::uint8_t>(reading.delivery));
    bytes.push_back(static_cast<std::uint8_t>(epoch.source));
    return checksum(bytes);
}

void note_day(LedgerFile& file, std::int64_t life, std::int64_t day, const NewRows& rows)
{
    if (day <= sealed_until(file, rows.meter))
        return note_late(file, life, rows);
    const auto [first, last] = std::minmax_element(rows.rows.begin(), rows.rows.end());
    RowSum sum;
    for (const auto& each : rows.rows)
        sum.add(each.second);
    const auto query = file.query(
        "INSERT INTO open_day (life, day, first, last, row_count, checksums) VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
        "ON CONFLICT DO UPDATE SET first = min(first, ?3), last = max(last, ?4), row_count = row_count + ?5, "
        "checksums = (checksums + ?6) & 0xffffffff");
    query->bind(1, life);
    query->bind(2, day);
    query->bind(3, first->first);
    query->bind(4, last->first);
    query->bind(5, number(sum.rows));
    query->bind(6, std::int64_t{sum.checksums});
    query->exec();
}

std::string day_text(std::int64_t day)
{
    if (day < 0 || day > 2'932'896) // 9999-12-31
        return fmt::format("day {}", day);
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::vector<MeterLife> lives_of(LedgerFile& file, std::int64_t meter)
{
    const auto query =
        file.query("SELECT id, epoch, imp, start, source FROM life WHERE meter = ? ORDER BY epoch");
    query->bind(1, meter);
    std::vector<MeterLife> lives;
    while (query->executeStep()) {
        lives.push_back({query->getColumn(0).getInt64(),
                         {small(query->getColumn(1))},
                         {{small(query->getColumn(2))},
                          {natural(query->getColumn(3))},
                          static_cast<Source>(query->getColumn(4).getInt())}});
    }
    return lives;
}

std::vector<OpenDay> open_days_of(LedgerFile& file, std::int64_t life)
{
    const auto query =
        file.query("SELECT day, first, last, row_count, checksums FROM open_day WHERE life = ? ORDER BY day");
    query->bind(1, life);
    std::vector<OpenDay> days;
    while (query->executeStep()) {
        days.push_back({query->getColumn(0).getInt64(),
                        natural(query->getColumn(1)),
                        natural(query->getColumn(2)),
                        {natural(query->getColumn(3)), small(query->getColumn(4))}});
    }
    return days;
}

RowSum each_row(LedgerFile& file, const MeterLife& life, const OpenDay& day, const RowVisitor& each)
{
    const auto rows =
        file.query("SELECT r.sequence, r.facts FROM reading r WHERE r.life = ?1 "
                   "AND r.sequence BETWEEN ?2 AND ?3 "
                   "AND NOT EXISTS (SELECT 1 FROM late WHERE life = ?1 AND sequence = r.sequence) "
                   "ORDER BY r.sequence");
    rows->bind(1, life.id);
    rows->bind(2, number(day.first));
    rows->bind(3, number(day.last));
    RowSum found;
    while (rows->executeStep()) {
        const LedgerReading reading = reading_from(file, *rows, life.epoch, life.facts);
        if (day_of(reading.received_at) != day.day)
            continue;
        found.add(sum_of(reading, life.facts));
        each(reading);
    }
    return found;
}

std::optional<Sequence> each_late_row(LedgerFile& file, const MeterLife& life, const RowVisitor& each)
{
    const auto rows = file.query("SELECT r.sequence, r.facts, t.checksum FROM late t CROSS JOIN reading r "
                                 "WHERE t.life = ? AND t.seal = 0 AND r.life = t.life AND "
                                 "r.sequence = t.sequence ORDER BY r.sequence");
    rows->bind(1, life.id);
    std::optional<Sequence> changed;
    while (rows->executeStep()) {
        const LedgerReading reading = reading_from(file, *rows, life.epoch, life.facts);
        if (!changed && rows->getColumn(2).getInt64() != std::int64_t{sum_of(reading, life.facts)})
            changed = reading.reading.sequence;
        each(reading);
    }
    return changed;
}

std::string describe_change(const MeterId& meter, const MeterLife& life, const OpenDay& day)
{
    return fmt::format(
        "meter {}, epoch {}: of the readings {} to {} that came on {}, at least one is not as it "
        "was stored",
        meter.text(), life.epoch.value, day.first, day.last, day_text(day.day));
}

std::string describe_change(const MeterId& meter, const MeterLife& life, Sequence late)
{
    return fmt::format("meter {}, epoch {} reading {} is not as it was stored", meter.text(),
                       life.epoch.value, late.value);
}

} // namespace row

namespace {

std::vector<std::pair<MeterId, std::int64_t>> meters(LedgerFile& file)
{
    const auto query = file.query("SELECT name, id FROM meter ORDER BY id");
    std::vector<std::pair<MeterId, std::int64_t>> found;
    while (query->executeStep()) {
        if (const auto meter = MeterId::parse(query->getColumn(0).getString()))
            found.emplace_back(*meter, query->getColumn(1).getInt64());
    }
    return found;
}

void ignore(const LedgerReading&) {}

struct Change {
    MeterId meter;
    std::int64_t meter_key;
    row::MeterLife life;
    std::string what;
};

// That there is a note of the day of an epoch's newest row, if no seal can hold that.
std::optional<std::string> find_unnoted(LedgerFile& file, const MeterId& meter, std::int64_t meter_key,
                                        const row::MeterLife& life)
{
    const auto query =
        file.query("SELECT sequence, facts FROM reading WHERE life = ? ORDER BY sequence DESC LIMIT 1");
    query->bind(1, life.id);
    if (!query->executeStep())
        return std::nullopt;
    const LedgerReading newest = row::reading_from(file, *query, life.epoch, life.facts);
    const std::int64_t day = row::day_of(newest.received_at);
    const auto days = row::open_days_of(file, life.id);
    if (day <= row::sealed_until(file, meter_key) ||
        std::ranges::find(days, day, &row::OpenDay::day) != days.end())
        return std::nullopt;
    return row::describe_change(meter, life, newest.reading.sequence);
}

std::vector<Change> find_changes(LedgerFile& file)
{
    std::vector<Change> changes;
    for (const auto& [meter, key] : meters(file)) {
        for (const row::MeterLife& life : row::lives_of(file, key)) {
            for (const row::OpenDay& day : row::open_days_of(file, life.id)) {
                if (row::each_row(file, life, day, ignore) != day.sum)
                    changes.push_back({meter, key, life, row::describe_change(meter, life, day)});
            }
            if (const auto what = find_unnoted(file, meter, key, life))
                changes.push_back({meter, key, life, *what});
            if (const auto late = row::each_late_row(file, life, ignore))
                changes.push_back({meter, key, life, row::describe_change(meter, life, *late)});
        }
    }
    return changes;
}

// Of all the epoch's rows that no seal holds, as they are now.
void note_anew(LedgerFile& file, std::int64_t meter_key, const row::MeterLife& life)
{
    const auto forgotten =
        file.query("DELETE FROM open_day WHERE life = ? OR life NOT IN (SELECT id FROM life)");
    forgotten->bind(1, life.id);
    forgotten->exec();
    const auto late = file.query("DELETE FROM late WHERE life = ? AND seal = 0");
    late->bind(1, life.id);

    std::map<std::int64_t, NewRows> days;
    const auto add = [&](const LedgerReading& found) {
        NewRows& day =
            days.try_emplace(row::day_of(found.received_at), NewRows{meter_key, {}, {}}).first->second;
        day.rows.emplace_back(row::number(found.reading.sequence.value), row::sum_of(found, life.facts));
    };
    row::each_late_row(file, life, add);
    late->exec();
    const std::int64_t sealed = row::sealed_until(file, meter_key);
    const auto rows = file.query("SELECT sequence, facts FROM reading r WHERE life = ?1 AND NOT EXISTS "
                                 "(SELECT 1 FROM late WHERE life = ?1 AND sequence = r.sequence)");
    rows->bind(1, life.id);
    while (rows->executeStep()) {
        const LedgerReading found = row::reading_from(file, *rows, life.epoch, life.facts);
        if (row::day_of(found.received_at) > sealed)
            add(found);
    }
    for (const auto& [day, noted] : days)
        row::note_day(file, life.id, day, noted);
}

// What a meter still has comes again.
void forget_damaged_refusals(LedgerFile& file, WallTime now, std::vector<std::string>& told)
{
    for (const auto& [meter, key] : meters(file)) {
        std::vector<HeldKey> damaged;
        {
            const auto held =
                file.query("SELECT content, checksum, epoch, sequence FROM held WHERE meter = ?");
            held->bind(1, key);
            while (held->executeStep()) {
                const HeldKey found{
                    meter, {row::small(held->getColumn(2))}, {row::natural(held->getColumn(3))}};
                if (!row::decode_content(found, *held))
                    damaged.push_back(found);
            }
        }
        for (const HeldKey& each : damaged) {
            row::delete_held(file, key, each.epoch, each.sequence);
            told.push_back(
                fmt::format("meter {}, epoch {} reading {}: what was refused is damaged: forgotten",
                            meter.text(), each.epoch.value, each.sequence.value));
            row::insert_event(file, {now, EventKind::damage_accepted, meter, told.back()});
        }
    }
}

} // namespace

std::optional<std::string> row::find_change(LedgerFile& file)
{
    const auto changes = find_changes(file);
    return changes.empty() ? std::nullopt : std::optional(changes.front().what);
}

void row::take_as_it_is(LedgerFile& file)
{
    for (const Change& change : find_changes(file))
        note_anew(file, change.meter_key, change.life);
}

std::optional<std::string> SqliteLedger::find_change()
{
    return impl_->look([](LedgerFile& file) { return row::find_change(file); });
}

std::vector<std::string> SqliteLedger::accept_damage(WallTime now)
{
    return impl_->write([now](LedgerFile& file) {
        std::vector<std::string> told;
        for (const Change& change : find_changes(file)) {
            note_anew(file, change.meter_key, change.life);
            row::insert_event(file, {now, EventKind::damage_accepted, change.meter, change.what});
            told.push_back(change.what);
        }
        forget_damaged_refusals(file, now, told);
        return told;
    });
}

} // namespace pulsemeter
