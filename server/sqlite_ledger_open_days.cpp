#include "server/sqlite_ledger_impl.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

#include <algorithm>
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
    const auto query = file.query("SELECT max(day) FROM seal WHERE meter = ?");
    query->bind(1, meter_key);
    query->executeStep();
    return query->getColumn(0).isNull() ? -1 : query->getColumn(0).getInt64();
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

namespace {

// Nothing: it is no reading any more.
std::optional<LedgerReading> read(LedgerFile& file, SQLite::Statement& row, const MeterLife& life)
{
    try {
        return reading_from(file, row, life.epoch, life.facts);
    } catch (const SQLite::Exception& failure) {
        if (failure.getErrorCode() != SQLITE_CORRUPT)
            throw;
        return std::nullopt;
    }
}

} // namespace

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
        const auto reading = read(file, *rows, life);
        if (!reading) {
            found.legible = false;
        } else if (day_of(reading->received_at) == day.day) {
            found.add(sum_of(*reading, life.facts));
            each(*reading);
        }
    }
    return found;
}

std::optional<Sequence> each_late_row(LedgerFile& file, const MeterLife& life, const RowVisitor& each)
{
    const auto rows = file.query("SELECT t.sequence, r.facts, t.checksum FROM late t LEFT JOIN reading r ON "
                                 "r.life = t.life AND r.sequence = t.sequence "
                                 "WHERE t.life = ? AND t.seal = 0 ORDER BY t.sequence");
    rows->bind(1, life.id);
    std::optional<Sequence> changed;
    while (rows->executeStep()) {
        const auto reading = read(file, *rows, life);
        const bool is_as_stored =
            reading && rows->getColumn(2).getInt64() == std::int64_t{sum_of(*reading, life.facts)};
        if (!is_as_stored && !changed)
            changed = Sequence{natural(rows->getColumn(0))};
        if (reading)
            each(*reading);
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

// That there is a note of the day of an epoch's newest row, if no seal can hold that.
std::optional<std::string> find_unnoted(LedgerFile& file, const MeterId& meter, std::int64_t meter_key,
                                        const row::MeterLife& life)
{
    const auto query =
        file.query("SELECT sequence, facts FROM reading WHERE life = ? ORDER BY sequence DESC LIMIT 1");
    query->bind(1, life.id);
    if (!query->executeStep())
        return std::nullopt;
    const auto newest = row::read(file, *query, life);
    const std::int64_t day = newest ? row::day_of(newest->received_at) : 0;
    const auto days = row::open_days_of(file, life.id);
    if (newest && (day <= row::sealed_until(file, meter_key) ||
                   std::ranges::find(days, day, &row::OpenDay::day) != days.end()))
        return std::nullopt;
    return row::describe_change(meter, life, Sequence{row::natural(query->getColumn(0))});
}

std::optional<std::string> find_change_of(LedgerFile& file, const MeterId& meter, std::int64_t meter_key,
                                          const row::MeterLife& life)
{
    for (const row::OpenDay& day : row::open_days_of(file, life.id)) {
        if (row::each_row(file, life, day, ignore) != day.sum)
            return row::describe_change(meter, life, day);
    }
    if (const auto late = row::each_late_row(file, life, ignore))
        return row::describe_change(meter, life, *late);
    return find_unnoted(file, meter, meter_key, life);
}

} // namespace

std::optional<std::string> row::find_change(LedgerFile& file)
{
    if (file.database()
            .execAndGet("SELECT EXISTS (SELECT 1 FROM life WHERE meter NOT IN (SELECT id FROM meter))")
            .getInt() != 0)
        return "there is an epoch of no meter";
    for (const auto& [meter, key] : meters(file)) {
        for (const row::MeterLife& life : row::lives_of(file, key)) {
            if (auto change = find_change_of(file, meter, key, life))
                return change;
        }
    }
    return std::nullopt;
}

void row::note_all(LedgerFile& file)
{
    for (const auto& [meter, key] : meters(file)) {
        for (const row::MeterLife& life : row::lives_of(file, key)) {
            for (const row::OpenDay& day : row::open_days_of(file, life.id)) {
                const row::RowSum sum = row::each_row(file, life, day, ignore);
                if (!sum.legible)
                    throw SQLite::Exception(row::describe_change(meter, life, day), SQLITE_CORRUPT);
                const auto query =
                    file.query("UPDATE open_day SET row_count = ?, checksums = ? WHERE life = ? AND day = ?");
                query->bind(1, row::number(sum.rows));
                query->bind(2, std::int64_t{sum.checksums});
                query->bind(3, life.id);
                query->bind(4, day.day);
                query->exec();
            }
            row::each_late_row(file, life, [&](const LedgerReading& late) {
                const auto query = file.query("UPDATE late SET checksum = ? WHERE life = ? AND sequence = ?");
                query->bind(1, std::int64_t{row::sum_of(late, life.facts)});
                query->bind(2, life.id);
                query->bind(3, row::number(late.reading.sequence.value));
                query->exec();
            });
        }
    }
}

std::optional<std::string> SqliteLedger::find_change()
{
    return impl_->look([](LedgerFile& file) { return row::find_change(file); });
}

} // namespace pulsemeter
