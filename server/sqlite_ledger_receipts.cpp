#include "server/sqlite_ledger_impl.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter::row {
namespace {

void set_fall(LedgerFile& file, std::int64_t life, std::int64_t sequence, std::int64_t pulses)
{
    if (pulses <= 0) {
        const auto query = file.query("DELETE FROM fall WHERE life = ? AND sequence = ?");
        query->bind(1, life);
        query->bind(2, sequence);
        query->exec();
        return;
    }
    const auto query = file.query("INSERT OR REPLACE INTO fall (life, sequence, pulses) VALUES (?, ?, ?)");
    query->bind(1, life);
    query->bind(2, sequence);
    query->bind(3, pulses);
    query->exec();
}

void record_gap(LedgerFile& file, std::int64_t life, std::uint64_t first, std::uint64_t last,
                std::string_view outlook, WallTime now)
{
    const auto query =
        file.query("SELECT m.name, l.epoch FROM life l JOIN meter m ON m.id = l.meter WHERE l.id = ?");
    query->bind(1, life);
    query->executeStep();
    insert_event(file, {now, EventKind::gap, MeterId::parse(query->getColumn(0).getString()),
                        fmt::format("gap {}…{} in epoch {}: the backup that was restored does not have these "
                                    "readings; {}",
                                    first, last, query->getColumn(1).getInt64(), outlook)});
}

// Only after a restore.
bool any_gap_is_open(LedgerFile& file)
{
    const auto query = file.query("SELECT EXISTS (SELECT 1 FROM gap WHERE ifnull(before, 0) = 0)");
    return query->executeStep() && query->getColumn(0).getInt() != 0;
}

// After a restore, the first reading beyond what the backup had shows where the lost ones end.
void note_gap(LedgerFile& file, std::int64_t life, const NewRows& rows)
{
    const auto begun =
        file.query("SELECT after, (SELECT min(sequence) FROM reading WHERE life = gap.life AND "
                   "sequence > gap.after) FROM gap WHERE life = ? AND ifnull(before, 0) = 0");
    begun->bind(1, life);
    if (!begun->executeStep() || begun->getColumn(1).isNull())
        return;
    const std::uint64_t after = natural(begun->getColumn(0));
    const std::uint64_t before = natural(begun->getColumn(1));
    const auto ended = file.query("UPDATE gap SET before = ? WHERE life = ? AND after = ?");
    ended->bind(1, number(before));
    ended->bind(2, life);
    ended->bind(3, number(after));
    ended->exec();
    if (before > after + 1)
        record_gap(file, life, after + 1, before - 1, "the total goes on from the meter's", rows.received_at);
}

} // namespace

void note_falls(LedgerFile& file, const Life& life, Sequence sequence)
{
    struct Total {
        std::int64_t sequence;
        std::int64_t total;
    };
    const auto totals = [&](const char* sql) {
        const auto query = file.query(sql);
        query->bind(1, life.id);
        query->bind(2, number(sequence.value));
        std::vector<Total> found;
        while (query->executeStep())
            found.push_back({query->getColumn(0).getInt64(), number(facts(query->getColumn(1)).total.value)});
        return found;
    };
    // The reading after its predecessor, and its successor after it.
    const auto before = totals("SELECT sequence, facts FROM reading WHERE life = ? AND sequence <= ? "
                               "AND facts < x'80' ORDER BY sequence DESC LIMIT 2");
    const auto after = totals("SELECT sequence, facts FROM reading WHERE life = ? AND sequence > ? "
                              "AND facts < x'80' ORDER BY sequence LIMIT 1");
    if (before.size() == 2)
        set_fall(file, life.id, before[0].sequence, before[1].total - before[0].total);
    if (!before.empty() && !after.empty())
        set_fall(file, life.id, after[0].sequence, before[0].total - after[0].total);
}

void note_holes(LedgerFile& file, WallTime now)
{
    // Of an earlier restore: what is left of them is found again.
    file.database().exec("DELETE FROM gap WHERE before > 0");
    const auto holes = file.query(
        "SELECT life, after, before FROM (SELECT h.*, row_number() OVER (PARTITION BY l.meter ORDER BY "
        "h.before - h.after DESC, l.epoch, h.after) AS place FROM (SELECT life, sequence AS before, "
        "lag(sequence, 1, 0) OVER (PARTITION BY life ORDER BY sequence) AS after FROM reading) h "
        "JOIN life l ON l.id = h.life WHERE h.before > h.after + 1) WHERE place <= ?");
    holes->bind(1, number(SqliteLedger::most_gaps_shown));
    while (holes->executeStep()) {
        const std::int64_t life = holes->getColumn(0).getInt64();
        const std::uint64_t after = natural(holes->getColumn(1));
        const std::uint64_t before = natural(holes->getColumn(2));
        const auto query = file.query("INSERT INTO gap (life, after, before) VALUES (?, ?, ?)");
        query->bind(1, life);
        query->bind(2, number(after));
        query->bind(3, number(before));
        query->exec();
        record_gap(file, life, after + 1, before - 1, "those that the meter still has will come", now);
    }
}

void note_open_end(LedgerFile& file, const MeterId& meter, const Life& life, Epoch epoch, WallTime now)
{
    const auto open = file.query(
        "SELECT l.id, l.epoch, g.after FROM life l JOIN gap g ON g.life = l.id WHERE g.before IS NULL AND "
        "l.id = (SELECT id FROM life WHERE meter = ? AND source = ? AND epoch < ? ORDER BY epoch DESC LIMIT "
        "1)");
    open->bind(1, life.meter);
    open->bind(2, static_cast<int>(life.facts.source));
    open->bind(3, epoch.value);
    if (!open->executeStep())
        return;
    const auto ended = file.query("UPDATE gap SET before = 0 WHERE life = ? AND before IS NULL");
    ended->bind(1, open->getColumn(0).getInt64());
    ended->exec();
    insert_event(file,
                 {now, EventKind::gap, meter,
                  fmt::format("epoch {} began, and since the restore nothing came of epoch {}: what the "
                              "backup lacks after its reading {}, if anything, is lost unless the meter "
                              "still has it",
                              epoch.value, open->getColumn(1).getInt64(), open->getColumn(2).getInt64())});
}

void note_new_rows(LedgerFile& file)
{
    if (file.new_rows.empty())
        return;
    const bool gaps_are_open = any_gap_is_open(file);
    for (const auto& [key, rows] : file.new_rows) {
        note_day(file, key.first, key.second, rows);
        if (gaps_are_open)
            note_gap(file, key.first, rows);
    }
}

} // namespace pulsemeter::row
