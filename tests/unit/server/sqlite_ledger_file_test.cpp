#include "server/sqlite_ledger.hpp"
#include "shared/errors.hpp"
#include "tests/unit/server/ledger_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

namespace pulsemeter {
namespace {

class OnDisk {
protected:
    TemporaryFolder folder;
    std::filesystem::path file = folder.ledger();
};

std::string content_of(const std::filesystem::path& file)
{
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::filesystem::path& file, const std::string& content)
{
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
}

// A ledger of a few hundred rows, closed, so that all of it lies in one file.
void fill(const std::filesystem::path& file)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    std::vector<IncomingReading> readings;
    for (std::uint64_t sequence = 1; sequence <= 500; ++sequence)
        readings.push_back({kitchen, sample(1, sequence, 10 * sequence)});
    (void)ledger.append(readings, noon);
}

template <typename Error>
void check_throws_naming(const std::filesystem::path& file, const std::function<void()>& action)
{
    BOOST_CHECK_EXCEPTION(action(), Error, [&file](const Error& error) {
        BOOST_TEST_MESSAGE(error.what());
        return std::string(error.what()).find(file.string()) != std::string::npos;
    });
}

// Writes beyond `bytes` fail, as on a disk that is full.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes)
    {
        std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
};

BOOST_AUTO_TEST_SUITE(sqlite_ledger_file)

BOOST_FIXTURE_TEST_CASE(D2_what_was_appended_is_there_for_another_process_and_after_a_restart, OnDisk)
{
    {
        SqliteLedger ledger(file, LedgerAccess::create);
        append(ledger, sample(1, 1, 48));
        SqliteLedger beside(file, LedgerAccess::read);
        BOOST_TEST((beside.summary(kitchen)->newest == sample(1, 1, 48)));
    }
    SqliteLedger again(file, LedgerAccess::write);
    BOOST_TEST((again.summary(kitchen)->newest == sample(1, 1, 48)));
    BOOST_TEST(is_duplicate(append(again, sample(1, 1, 48)).outcome));
}

BOOST_FIXTURE_TEST_CASE(K7_the_file_is_for_its_owner_only, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 48));
    for (const std::string suffix : {"", "-wal", "-shm"}) {
        struct stat status {};
        BOOST_TEST_REQUIRE(stat((file.string() + suffix).c_str(), &status) == 0);
        BOOST_TEST((status.st_mode & 0777U) == 0600U, suffix);
    }
}

BOOST_FIXTURE_TEST_CASE(duplicates_and_quick_repeats_of_refusals_write_nothing, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 48));
    append(ledger, sample(1, 2, 40));
    const auto log = file.string() + "-wal";
    const auto before = std::pair(content_of(log), content_of(file));
    BOOST_TEST(is_duplicate(append(ledger, sample(1, 1, 48)).outcome));
    BOOST_TEST(is_rejected(append(ledger, sample(1, 2, 40)).outcome, RefusalReason::total_fell));
    BOOST_TEST((std::pair(content_of(log), content_of(file)) == before));
    append(ledger, sample(1, 3, 48));
    BOOST_TEST((std::pair(content_of(log), content_of(file)) != before));
}

BOOST_FIXTURE_TEST_CASE(the_operator_s_decision_beside_a_running_server_is_seen_at_once, OnDisk)
{
    SqliteLedger server(file, LedgerAccess::create);
    append(server, sample(1, 1, 100));
    append(server, sample(1, 2, 40));
    {
        SqliteLedger command(file, LedgerAccess::write);
        BOOST_TEST(command.accept(held_key(1, 2), noon).has_value());
    }
    BOOST_TEST(is_duplicate(append(server, sample(1, 2, 40)).outcome));
    BOOST_TEST(is_accepted(append(server, sample(1, 3, 41)).outcome));
}

BOOST_FIXTURE_TEST_CASE(several_writers_never_give_a_number_two_contents, OnDisk)
{
    SqliteLedger first(file, LedgerAccess::create);
    SqliteLedger second(file, LedgerAccess::write);
    for (std::uint64_t sequence = 1; sequence <= 50; ++sequence) {
        BOOST_TEST(
            is_accepted(append(sequence % 2 == 0 ? first : second, sample(1, sequence, sequence)).outcome));
        BOOST_TEST(
            is_duplicate(append(sequence % 2 == 0 ? second : first, sample(1, sequence, sequence)).outcome));
        BOOST_TEST(is_conflict(append(second, sample(1, sequence, sequence + 1)).outcome));
    }
    BOOST_TEST(all_readings(first).size() == 50U);
}

BOOST_FIXTURE_TEST_CASE(P3_a_missing_ledger_is_not_made_anew_unless_asked_for, OnDisk)
{
    for (const auto access : {LedgerAccess::read, LedgerAccess::write})
        check_throws_naming<UsageError>(file, [&] { SqliteLedger(file, access); });
    BOOST_TEST(!std::filesystem::exists(file));
}

BOOST_FIXTURE_TEST_CASE(P3_what_is_no_ledger_is_refused_and_left_alone, OnDisk)
{
    fill(file);
    std::string other_program = content_of(file);
    other_program.replace(68, 4, "\0\0\0\x7b", 4); // application_id
    std::string other_version = content_of(file);
    other_version.replace(60, 4, "\0\0\0\x63", 4); // user_version

    for (const std::string& content :
         {std::string("hello, this is a text file and no database of anyone\n"), std::string(8192, '\0'),
          std::string(8192, 'x'), other_program, other_version}) {
        write_file(file, content);
        for (const auto access : {LedgerAccess::create, LedgerAccess::read, LedgerAccess::write})
            check_throws_naming<UsageError>(file, [&] { SqliteLedger(file, access); });
        BOOST_TEST((content_of(file) == content));
    }
    write_file(file, "");
    for (const auto access : {LedgerAccess::read, LedgerAccess::write})
        check_throws_naming<UsageError>(file, [&] { SqliteLedger(file, access); });
}

// Reads all that there is; false if the damage was noticed, which must name the file.
bool reads_whole(const std::filesystem::path& file)
{
    try {
        SqliteLedger ledger(file, LedgerAccess::write);
        const auto rows = all_readings(ledger);
        (void)ledger.summary(kitchen);
        return rows.size() == 500;
    } catch (const std::runtime_error& error) {
        BOOST_TEST(std::string(error.what()).find(file.string()) != std::string::npos, error.what());
        return false;
    }
}

BOOST_FIXTURE_TEST_CASE(P3_damage_is_noticed_and_named, OnDisk)
{
    fill(file);
    const std::string whole = content_of(file);
    BOOST_TEST(reads_whole(file));

    std::string torn = whole;
    for (std::size_t page = 4096; page < whole.size(); page += 4096)
        torn.replace(page, 512, std::string(512, '\xa5'));
    for (const std::string& damaged : {whole.substr(0, whole.size() - 4096), whole.substr(0, 4096), torn}) {
        write_file(file, damaged);
        BOOST_TEST(!reads_whole(file));
    }
}

BOOST_FIXTURE_TEST_CASE(P4_a_full_disk_confirms_nothing_and_heals, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    std::vector<IncomingReading> batch;
    for (std::uint64_t sequence = 2; sequence <= 10'000; ++sequence)
        batch.push_back({kitchen, sample(1, sequence, 10 * sequence)});
    {
        const FileSizeLimit full(std::filesystem::file_size(file.string() + "-wal") + 65536);
        for (int attempt = 0; attempt < 3; ++attempt)
            check_throws_naming<std::runtime_error>(file, [&] { (void)ledger.append(batch, noon); });
    }
    BOOST_TEST(all_readings(ledger).size() == 1U);
    const auto outcomes = ledger.append(batch, noon);
    BOOST_TEST(std::all_of(outcomes.begin(), outcomes.end(),
                           [](const Appended& each) { return is_accepted(each.outcome); }));
    SqliteLedger beside(file, LedgerAccess::read);
    BOOST_TEST(all_readings(beside).size() == 10'000U);
}

BOOST_FIXTURE_TEST_CASE(an_unusable_folder_is_named, OnDisk)
{
    const auto nowhere = folder.path() / "missing" / "ledger.sqlite";
    check_throws_naming<UsageError>(nowhere, [&] { SqliteLedger(nowhere, LedgerAccess::create); });
}

BOOST_FIXTURE_TEST_CASE(D2_a_ledger_that_vanished_confirms_nothing_and_is_not_replaced_by_an_empty_one,
                        OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    for (const std::string suffix : {"", "-wal", "-shm"})
        std::filesystem::remove(file.string() + suffix);
    // Even a duplicate would be confirmed.
    check_throws_naming<std::runtime_error>(file, [&] { append(ledger, sample(1, 1, 0)); });
    check_throws_naming<UsageError>(file, [&] { append(ledger, sample(1, 2, 0)); });
    BOOST_TEST(!std::filesystem::exists(file));
}

// Not even by opening it: its keys are others than what this one is used with.
BOOST_FIXTURE_TEST_CASE(D2_a_ledger_that_was_replaced_confirms_nothing_more, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    BOOST_TEST(!ledger.was_replaced());
    const auto aside = folder.path() / "aside";
    SqliteLedger(file, LedgerAccess::write).while_nobody_writes([&] {
        for (const std::string suffix : {"", "-wal", "-shm"})
            std::filesystem::rename(file.string() + suffix, aside.string() + suffix);
        (void)SqliteLedger(file, LedgerAccess::create);
    });
    BOOST_TEST(ledger.was_replaced());
    for (int time = 0; time < 2; ++time) {
        check_throws_naming<std::runtime_error>(file, [&] { append(ledger, sample(1, 1, 0)); });
        check_throws_naming<std::runtime_error>(file,
                                                [&] { (void)ledger.state_for(kitchen, Source::measured); });
    }
    SqliteLedger beside(file, LedgerAccess::write);
    BOOST_TEST(all_readings(beside).empty());
    BOOST_TEST(is_accepted(append(beside, sample(1, 1, 0)).outcome));
    SqliteLedger old(aside, LedgerAccess::read);
    BOOST_TEST(all_readings(old).size() == 1U);
}

// A commit is either in the ledger before it is replaced, or does not happen.
BOOST_FIXTURE_TEST_CASE(D2_nobody_commits_while_a_ledger_is_replaced, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    std::optional<std::thread> other;
    bool failed = false;
    SqliteLedger(file, LedgerAccess::write).while_nobody_writes([&] {
        other.emplace([&] {
            try {
                append(ledger, sample(1, 2, 0));
            } catch (const std::runtime_error&) {
                failed = true;
            }
        });
        std::this_thread::sleep_for(
            std::chrono::milliseconds(50)); // that it comes to the lock; it may as well come later
        for (const std::string suffix : {"", "-wal", "-shm"})
            std::filesystem::rename(file.string() + suffix, (folder.path() / "aside").string() + suffix);
        (void)SqliteLedger(file, LedgerAccess::create);
    });
    other->join();
    BOOST_TEST(failed);
    SqliteLedger old(folder.path() / "aside", LedgerAccess::read);
    BOOST_TEST(all_readings(old).size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(D2_a_log_that_vanished_is_noticed_and_nothing_confirmed_is_lost, OnDisk)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    append(ledger, sample(1, 1, 0));
    std::filesystem::remove(file.string() + "-wal");
    check_throws_naming<std::runtime_error>(file, [&] { append(ledger, sample(1, 2, 0)); });
    BOOST_TEST(is_duplicate(append(ledger, sample(1, 1, 0)).outcome)); // closing wrote it back
    BOOST_TEST(is_accepted(append(ledger, sample(1, 2, 0)).outcome));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
