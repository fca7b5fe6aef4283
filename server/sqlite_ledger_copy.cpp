#include "server/sqlite_ledger_impl.hpp"
#include "shared/errors.hpp"

#include <SQLiteCpp/Backup.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace pulsemeter {
namespace {

// Never over a file that is there; SQLite itself would make it readable by all.
void make_empty(const std::filesystem::path& file)
{
    const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) {
        throw UsageError(
            fmt::format("{}: cannot be made: {}", file.string(), std::generic_category().message(errno)));
    }
    ::close(descriptor);
}

} // namespace

void SqliteLedger::copy_to(const std::filesystem::path& file)
{
    make_empty(file);
    impl_->run([&](LedgerFile& open) {
        try {
            SQLite::Database copy(file.string(), SQLite::OPEN_READWRITE);
            copy.exec("PRAGMA synchronous = EXTRA");
            SQLite::Backup backup(copy, open.database());
            backup.executeStep(-1); // in one go: one state of the ledger, whoever writes meanwhile
            copy.exec(
                "PRAGMA journal_mode = DELETE"); // one file, that also a medium that is read only can hold
        } catch (const SQLite::Exception& failure) {
            // Of the copy more likely than of the ledger, which is only read.
            throw std::runtime_error(
                fmt::format("{}: the ledger could not be copied there: {}", file.string(), failure.what()));
        }
        return true;
    });
}

std::optional<std::string> SqliteLedger::find_damage()
{
    return impl_->run([](LedgerFile& open) -> std::optional<std::string> {
        try {
            const std::string found = open.database().execAndGet("PRAGMA integrity_check(1)").getString();
            return found == "ok" ? std::nullopt : std::optional(found);
        } catch (const SQLite::Exception& failure) {
            if (!is_for_the_operator(failure))
                throw;
            return failure.what();
        }
    });
}

bool SqliteLedger::was_replaced() const
{
    return impl_->was_replaced();
}

void SqliteLedger::while_nobody_writes(const std::function<void()>& swap)
{
    impl_->run([&swap](LedgerFile& open) {
        const SQLite::Transaction lock(open.database(), SQLite::TransactionBehavior::IMMEDIATE);
        if (!open.is_in_place())
            throw SQLite::Exception("it was moved, replaced or removed meanwhile");
        swap();
        return true;
    });
}

void SqliteLedger::note_restored(WallTime now)
{
    impl_->write([now](LedgerFile& file) {
        const auto restoration = file.query("INSERT INTO restoration (at) VALUES (?)");
        restoration->bind(1, row::number(now));
        restoration->exec();
        row::note_holes(file, now);
        file.database().exec("INSERT OR IGNORE INTO gap (life, after) "
                             "SELECT life, max(sequence) FROM reading GROUP BY life");
        return true;
    });
}

namespace {

// Those without an end before all others, as nobody knows how large they are.
void show_the_largest(std::vector<Gap>& gaps)
{
    const auto size = [](const Gap& gap) {
        return gap.last ? gap.last->value - gap.first.value : largest_integer;
    };
    std::stable_sort(gaps.begin(), gaps.end(),
                     [&size](const Gap& a, const Gap& b) { return size(a) > size(b); });
    gaps.resize(std::min(gaps.size(), SqliteLedger::most_gaps_shown));
    std::sort(gaps.begin(), gaps.end());
}

// Epochs of which the ledger has nothing at all, before one that began since: their numbers follow each other. Those of the
// backup have each a gap after its last reading, whether anything is in it or not.
void add_missing_epochs(LedgerFile& file, std::int64_t meter_key, std::vector<Gap>& gaps)
{
    const auto query =
        file.query("SELECT epoch, EXISTS (SELECT 1 FROM gap WHERE life = l.id AND after > 0) FROM life l "
                   "WHERE meter = ? AND EXISTS (SELECT 1 FROM restoration) ORDER BY epoch");
    query->bind(1, meter_key);
    std::optional<std::uint32_t> before;
    while (query->executeStep()) {
        const std::uint32_t epoch = row::small(query->getColumn(0));
        const bool is_of_the_backup = query->getColumn(1).getInt() != 0;
        for (std::uint32_t missing = before.value_or(epoch) + 1, count = 0;
             !is_of_the_backup && missing < epoch && count < SqliteLedger::most_gaps_shown;
             ++missing, ++count)
            gaps.push_back({{missing}, {1}, std::nullopt});
        before = epoch;
    }
}

} // namespace

std::vector<Gap> row::find_gaps(LedgerFile& file, std::int64_t meter_key)
{
    const auto gaps = file.query(
        "SELECT l.id, l.epoch, g.after, g.before FROM gap g JOIN life l ON l.id = g.life "
        "WHERE l.meter = ? AND (g.before = 0 OR g.before > g.after + 1) ORDER BY l.epoch, g.after");
    gaps->bind(1, meter_key);
    std::vector<Gap> found;
    while (gaps->executeStep()) {
        const Epoch epoch{small(gaps->getColumn(1))};
        std::uint64_t next = natural(gaps->getColumn(2)) + 1;
        const std::uint64_t end = natural(gaps->getColumn(3));
        const auto hole_until = [&](std::uint64_t sequence) {
            if (sequence > next)
                found.push_back({epoch, {next}, Sequence{sequence - 1}});
            next = sequence + 1;
        };
        if (end == 0) {
            found.push_back({epoch, {next}, std::nullopt});
            continue;
        }
        // Some may have come after all: the meter had them still. What is held is not lost either.
        const auto rows = file.query(
            "SELECT sequence FROM reading WHERE life = ?1 AND sequence >= ?2 AND sequence < ?3 UNION "
            "SELECT sequence FROM held WHERE meter = ?4 AND epoch = ?5 AND sequence >= ?2 AND sequence < ?3 "
            "ORDER BY sequence");
        rows->bind(1, gaps->getColumn(0).getInt64());
        rows->bind(2, number(next));
        rows->bind(3, number(end));
        rows->bind(4, meter_key);
        rows->bind(5, epoch.value);
        while (rows->executeStep())
            hole_until(natural(rows->getColumn(0)));
        hole_until(end);
    }
    add_missing_epochs(file, meter_key, found);
    show_the_largest(found);
    return found;
}

} // namespace pulsemeter
