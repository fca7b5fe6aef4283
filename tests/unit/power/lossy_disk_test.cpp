// The lossy disk itself: it must lose what is not synced, or the rows it shows for the stores prove nothing.
#include "tests/unit/power/power_test.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <vector>

using namespace pulsemeter;

namespace {

// An open file, as SQLite uses it.
class RawFile {
public:
    RawFile(const std::filesystem::path& path, int kind)
        : vfs_(sqlite3_vfs_find(nullptr)),
          memory_(std::make_unique<std::max_align_t[]>(
              static_cast<std::size_t>(vfs_->szOsFile) / sizeof(std::max_align_t) + 1)),
          file_(reinterpret_cast<sqlite3_file*>(memory_.get()))
    {
        const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | kind;
        BOOST_REQUIRE(vfs_->xOpen(vfs_, path.c_str(), file_, flags, nullptr) == SQLITE_OK);
    }
    ~RawFile() { file_->pMethods->xClose(file_); }
    RawFile(const RawFile&) = delete;
    RawFile& operator=(const RawFile&) = delete;

    int write(const std::string& text, sqlite3_int64 offset)
    {
        return file_->pMethods->xWrite(file_, text.data(), static_cast<int>(text.size()), offset);
    }
    int truncate(sqlite3_int64 size) { return file_->pMethods->xTruncate(file_, size); }
    int sync() { return file_->pMethods->xSync(file_, SQLITE_SYNC_NORMAL); }
    std::string read()
    {
        sqlite3_int64 size = 0;
        BOOST_REQUIRE(file_->pMethods->xFileSize(file_, &size) == SQLITE_OK);
        std::string text(static_cast<std::size_t>(size), '?');
        BOOST_REQUIRE(file_->pMethods->xRead(file_, text.data(), static_cast<int>(size), 0) == SQLITE_OK);
        return text;
    }
    int read_one()
    {
        char one = 0;
        return file_->pMethods->xRead(file_, &one, 1, 0);
    }

private:
    sqlite3_vfs* vfs_;
    std::unique_ptr<std::max_align_t[]> memory_;
    sqlite3_file* file_;
};

int remove(const std::filesystem::path& path, int sync_folder)
{
    sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    return vfs->xDelete(vfs, path.c_str(), sync_folder);
}

struct Disk {
    PowerFolder folder;
    LossyDisk& disk = LossyDisk::installed();
    std::filesystem::path file = folder.path() / "file";
};

// Commits row after row until the power goes; answers how many commits returned.
int fill(const std::filesystem::path& file, const std::string& journal, const std::string& synchronous)
{
    int committed = 0;
    try {
        SQLite::Database database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        database.exec("PRAGMA journal_mode = " + journal);
        database.exec("PRAGMA synchronous = " + synchronous);
        database.exec("CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, filler BLOB)");
        while (committed < 20) {
            database.exec("INSERT INTO entry (filler) VALUES (randomblob(3000))");
            ++committed;
        }
        LossyDisk::installed().cut_now(PowerLoss::dropped); // an orderly end would write the log back
    } catch (const SQLite::Exception&) {
        BOOST_TEST(LossyDisk::installed().is_cut());
    }
    return committed;
}

// How many rows a database has after the cut; nothing: it is damaged.
std::optional<int> rows_left(const std::filesystem::path& file)
{
    try {
        SQLite::Database database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        if (database.execAndGet("PRAGMA integrity_check").getString() != "ok")
            return std::nullopt;
        if (database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0)
            return 0;
        return database.execAndGet("SELECT count(*) FROM entry").getInt();
    } catch (const SQLite::Exception&) {
        return std::nullopt;
    }
}

struct Toll {
    int lost_commits = 0; // cuts after which one that had returned was missing
    int damaged = 0;
};

Toll many_cuts(const std::string& journal, const std::string& synchronous)
{
    Toll toll;
    for (std::uint64_t seed = first_seed(); seed < first_seed() + 120; ++seed) {
        const Disk here;
        const Checkpoints often(16);
        Dice dice(seed);
        here.disk.restart(seed);
        here.disk.cut_at(dice.between(1, 250), dice.loss());
        const int committed = fill(here.file, journal, synchronous);
        here.disk.restart(seed);
        const auto rows = rows_left(here.file);
        toll.damaged += rows ? 0 : 1;
        toll.lost_commits += rows && *rows < committed ? 1 : 0;
    }
    return toll;
}

} // namespace

BOOST_AUTO_TEST_SUITE(lossy_disk)

BOOST_FIXTURE_TEST_CASE(only_what_was_synced_is_left, Disk)
{
    {
        RawFile wal(file, SQLITE_OPEN_WAL);
        BOOST_TEST(wal.write("synced", 0) == SQLITE_OK);
        BOOST_TEST(wal.sync() == SQLITE_OK);
        BOOST_TEST(wal.write("SY", 0) == SQLITE_OK);
        BOOST_TEST(wal.truncate(4) == SQLITE_OK);
        BOOST_TEST(wal.read() == "SYnc"); // programs see it …
        disk.cut_now(PowerLoss::dropped);
        BOOST_TEST(wal.read_one() == SQLITE_IOERR_READ);
        BOOST_TEST(wal.write("x", 0) == SQLITE_IOERR_WRITE);
        BOOST_TEST(wal.sync() == SQLITE_IOERR_FSYNC);
    }
    disk.restart(1);
    BOOST_TEST(RawFile(file, SQLITE_OPEN_WAL).read() == "synced"); // … and the medium never saw it
}

BOOST_FIXTURE_TEST_CASE(the_cut_takes_the_step_it_is_planned_for, Disk)
{
    {
        RawFile wal(file, SQLITE_OPEN_WAL);
        disk.cut_at(4, PowerLoss::dropped);
        BOOST_TEST(wal.write("one", 0) == SQLITE_OK);
        BOOST_TEST(wal.sync() == SQLITE_OK);
        BOOST_TEST(wal.write("two", 0) == SQLITE_OK);
        BOOST_TEST(!disk.is_cut());
        BOOST_TEST(wal.sync() == SQLITE_IOERR_FSYNC);
        BOOST_TEST(disk.is_cut());
    }
    disk.restart(1);
    BOOST_TEST(RawFile(file, SQLITE_OPEN_WAL).read() == "one");
}

BOOST_FIXTURE_TEST_CASE(a_name_lasts_only_when_its_folder_was_synced, Disk)
{
    const auto log = folder.path() / "file-wal";
    const auto made_and_synced = [&] {
        RawFile database(file, SQLITE_OPEN_MAIN_DB);
        BOOST_TEST(database.write("content", 0) == SQLITE_OK);
        BOOST_TEST(database.sync() == SQLITE_OK);
    };
    made_and_synced();
    disk.cut_now(PowerLoss::dropped);
    disk.restart(1);
    BOOST_TEST(!std::filesystem::exists(file));

    made_and_synced();
    BOOST_TEST(RawFile(log, SQLITE_OPEN_WAL).sync() == SQLITE_OK);
    disk.cut_now(PowerLoss::dropped);
    disk.restart(1);
    BOOST_TEST(std::filesystem::exists(log));
    BOOST_TEST(RawFile(file, SQLITE_OPEN_MAIN_DB).read() == "content");

    BOOST_TEST(remove(log, 0) == SQLITE_OK);
    BOOST_TEST(remove(log, 0) == SQLITE_IOERR_DELETE_NOENT);
    disk.cut_now(PowerLoss::dropped);
    disk.restart(1);
    BOOST_TEST(std::filesystem::exists(log)); // the deletion itself was lost

    BOOST_TEST(remove(log, 1) == SQLITE_OK);
    disk.cut_now(PowerLoss::dropped);
    disk.restart(1);
    BOOST_TEST(!std::filesystem::exists(log));
}

BOOST_FIXTURE_TEST_CASE(unsynced_writes_are_left_in_part_and_torn_only_between_sectors, Disk)
{
    constexpr std::size_t sector = 512;
    for (const PowerLoss loss : {PowerLoss::subset, PowerLoss::torn, PowerLoss::scattered}) {
        int mixed = 0;
        for (std::uint64_t seed = 1; seed <= 50; ++seed) {
            disk.restart(seed);
            {
                RawFile wal(file, SQLITE_OPEN_WAL);
                BOOST_TEST(wal.write(std::string(16 * sector, 'a'), 0) == SQLITE_OK);
                BOOST_TEST(wal.sync() == SQLITE_OK);
                BOOST_TEST(wal.write(std::string(8 * sector, 'b'), 0) == SQLITE_OK);
                BOOST_TEST(wal.write(std::string(8 * sector, 'b'), 8 * sector) == SQLITE_OK);
            }
            disk.cut_now(loss);
            disk.restart(seed);
            const std::string left = RawFile(file, SQLITE_OPEN_WAL).read();
            const std::size_t unit = loss == PowerLoss::subset ? 8 * sector : sector;
            for (std::size_t at = 0; at < left.size(); at += unit)
                BOOST_TEST(left.substr(at, unit) == std::string(unit, left[at]));
            mixed += left.find('a') != std::string::npos && left.find('b') != std::string::npos ? 1 : 0;
        }
        BOOST_TEST(mixed > 10);
    }
}

BOOST_FIXTURE_TEST_CASE(what_a_failed_sync_lost_is_not_brought_back_by_the_next_one, Disk)
{
    int lost = 0;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        disk.restart(seed);
        {
            RawFile wal(file, SQLITE_OPEN_WAL);
            BOOST_TEST(wal.write("old", 0) == SQLITE_OK);
            BOOST_TEST(wal.sync() == SQLITE_OK);
            disk.fail_at(2);
            BOOST_TEST(wal.write("new", 0) == SQLITE_OK);
            BOOST_TEST(wal.sync() == SQLITE_IOERR_FSYNC);
            BOOST_TEST(disk.last_error() == SQLITE_IOERR_FSYNC);
            BOOST_TEST(wal.sync() == SQLITE_OK);
            BOOST_TEST(wal.read() == "new");
        }
        disk.cut_now(PowerLoss::scattered);
        disk.restart(seed);
        lost += RawFile(file, SQLITE_OPEN_WAL).read() == "old" ? 1 : 0;
    }
    BOOST_TEST(lost > 10);
    BOOST_TEST(lost < 40);
}

// What SQLite promises is what this disk shows, and nothing more (sqlite.org/pragma.html#pragma_synchronous).
BOOST_AUTO_TEST_CASE(databases_lose_exactly_what_they_say_they_may)
{
    const Toll log_full = many_cuts("WAL", "FULL");
    BOOST_TEST(log_full.lost_commits == 0);
    BOOST_TEST(log_full.damaged == 0);

    const Toll log_normal = many_cuts("WAL", "NORMAL");
    BOOST_TEST(log_normal.lost_commits > 10);
    BOOST_TEST(log_normal.damaged == 0);

    const Toll log_off = many_cuts("WAL", "OFF");
    BOOST_TEST(log_off.lost_commits > 10);
    BOOST_TEST(log_off.damaged > 0);

    const Toll journal_extra = many_cuts("DELETE", "EXTRA");
    BOOST_TEST(journal_extra.lost_commits == 0);
    BOOST_TEST(journal_extra.damaged == 0);

    const Toll journal_full = many_cuts("DELETE", "FULL"); // the journal's deletion is not synced
    BOOST_TEST(journal_full.lost_commits > 10);
    BOOST_TEST(journal_full.damaged == 0);

    const Toll journal_off = many_cuts("DELETE", "OFF");
    BOOST_TEST(journal_off.damaged > 0);
}

BOOST_AUTO_TEST_SUITE_END()
