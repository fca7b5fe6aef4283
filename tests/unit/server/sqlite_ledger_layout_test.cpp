// Ledgers of older versions are brought up to date, and lose nothing.
#include "shared/errors.hpp"
#include "tests/unit/server/ledger_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

const MeterId attic = meter_id("attic");
const AuditKey key;
const WallTime first_day = std::chrono::floor<std::chrono::days>(noon) + 12h;

// Whatever a row can hold.
void fill(SqliteLedger& ledger)
{
    for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
        Reading reading = sample(1, sequence, 5 * sequence);
        reading.boot = boot_id(sequence < 8 ? 1 : 2);
        reading.clock = sequence % 3 == 0 ? Clock::unsynchronised : Clock::synchronised;
        if (sequence % 2 == 0)
            reading.power = Milliwatts{static_cast<std::uint32_t>(sequence * 100'000)};
        if (sequence % 5 == 0) {
            reading.quality = {1, 2, static_cast<std::uint32_t>(sequence)};
            reading.events = UINT32_MAX;
        }
        const IncomingReading incoming{sequence % 4 == 0 ? attic : kitchen, reading, default_max_kw,
                                       sequence % 7 == 0 ? Delivery::retained : Delivery::live};
        (void)ledger.append(std::span(&incoming, 1), first_day + sequence * 4h);
    }
    append(ledger, sample(1, 31, 20), first_day + 84h);
    append(ledger, sample(1, 33, 7), first_day + 84h);
    BOOST_TEST(ledger.accept(held_key(1, 31), first_day + 84h).has_value());
    BOOST_TEST(ledger.discard(held_key(1, 33), first_day + 84h).has_value());
    (void)ledger.append_total(meter_id("classic"), Pulses{77}, first_day + 84h, Delivery::live);
    for (const auto& what : ledger.unsealed(first_day + 60h))
        ledger.seal(what, key);
}

// Lays a copy out as layout 3 had it: without what was stored of a row that no seal holds.
void forget_checksums(const std::filesystem::path& copy)
{
    SQLite::Database(copy.string(), SQLite::OPEN_READWRITE)
        .exec("DROP INDEX seal_by_day; ALTER TABLE open_day DROP COLUMN row_count; ALTER TABLE open_day DROP "
              "COLUMN checksums; "
              "ALTER TABLE late DROP COLUMN checksum; ALTER TABLE held DROP COLUMN checksum; "
              "PRAGMA user_version = 3");
}

// … and the ledger's rows as layout 2 had them: a column a fact.
void unpack_rows(SqliteLedger& ledger, const std::filesystem::path& copy)
{
    SQLite::Database file(copy.string(), SQLite::OPEN_READWRITE);
    SQLite::Transaction transaction(file);
    file.exec("DROP TABLE heard; DROP TABLE reading; ALTER TABLE boot RENAME TO stretch; "
              "CREATE TABLE boot (id INTEGER PRIMARY KEY, boot BLOB NOT NULL UNIQUE) STRICT; "
              "INSERT INTO boot (boot) SELECT DISTINCT boot FROM stretch; DROP TABLE stretch");
    file.exec(
        "CREATE TABLE reading (life INTEGER NOT NULL, sequence INTEGER NOT NULL, total INTEGER NOT NULL, "
        "measured INTEGER NOT NULL, delay INTEGER NOT NULL, boot INTEGER NOT NULL, uptime INTEGER NOT NULL, "
        "flags INTEGER NOT NULL, power INTEGER, extra BLOB, PRIMARY KEY (life, sequence)) STRICT, WITHOUT "
        "ROWID");
    for (const char* name : {"kitchen", "attic", "classic"}) {
        for (const LedgerReading& row : all_readings(ledger, meter_id(name))) {
            const Reading& reading = row.reading;
            SQLite::Statement insert(
                file, "INSERT INTO reading SELECT l.id, ?2, ?3, ?4, ?5, b.id, ?6, ?7, ?8, ?9 FROM meter m "
                      "JOIN life l ON l.meter = m.id JOIN boot b ON b.boot = ?10 WHERE m.name = ?1");
            insert.bind(1, name);
            insert.bind(2, static_cast<std::int64_t>(reading.sequence.value));
            insert.bind(3, static_cast<std::int64_t>(reading.total.value));
            insert.bind(4, static_cast<std::int64_t>(reading.measured_at.time_since_epoch().count()));
            insert.bind(5, static_cast<std::int64_t>((row.received_at - reading.measured_at).count()));
            insert.bind(6, static_cast<std::int64_t>(reading.uptime.count()));
            insert.bind(7, (reading.clock == Clock::synchronised ? 1 : 0) +
                               (row.standing == Standing::discarded ? 2 : 0) +
                               (row.standing == Standing::accepted_by_operator ? 4 : 0) +
                               (reading.source == Source::measured ? 8 : 0) +
                               (reading.source == Source::unstated ? 16 : 0) +
                               (row.delivery == Delivery::retained ? 32 : 0));
            if (reading.power)
                insert.bind(8, reading.power->value);
            const auto quality = reading.quality;
            std::vector<std::uint8_t> extra;
            for (const std::uint32_t value :
                 {quality.glitches, quality.missed_edges, quality.uncertain, reading.events}) {
                for (unsigned shift = 32; shift > 0; shift -= 8)
                    extra.push_back(static_cast<std::uint8_t>(value >> (shift - 8)));
            }
            if (quality != Quality{} || reading.events != 0)
                insert.bind(9, extra.data(), static_cast<int>(extra.size()));
            insert.bind(10, reading.boot.data(), static_cast<int>(reading.boot.size()));
            BOOST_TEST_REQUIRE(insert.exec() == 1);
        }
    }
    file.exec("PRAGMA user_version = 2");
    transaction.commit();
}

class Older {
protected:
    Older()
    {
        fill(ledger);
        ledger.copy_to(copy);
        forget_checksums(copy);
        ledger.copy_to(layout_3);
        forget_checksums(layout_3);
        unpack_rows(ledger, copy);
    }

    void check_all_is_there(SqliteLedger& updated)
    {
        for (const MeterId& meter : {kitchen, attic, meter_id("classic")}) {
            const auto before = all_readings(ledger, meter);
            const auto after = all_readings(updated, meter);
            BOOST_TEST_REQUIRE(after.size() == before.size());
            BOOST_TEST(!before.empty());
            for (std::size_t row = 0; row < before.size(); ++row) {
                BOOST_TEST((after[row].reading == before[row].reading));
                BOOST_TEST((after[row].received_at == before[row].received_at));
                BOOST_TEST((after[row].standing == before[row].standing));
                BOOST_TEST((after[row].delivery == before[row].delivery));
            }
            BOOST_TEST((updated.summary(meter)->consumption == ledger.summary(meter)->consumption));
        }
    }

    void run(const char* sql) const { SQLite::Database(copy.string(), SQLite::OPEN_READWRITE).exec(sql); }

    TemporaryFolder folder;
    std::filesystem::path copy = folder.path() / "old.sqlite"; // of layout 2
    std::filesystem::path layout_3 = folder.path() / "layout-3.sqlite";
    SqliteLedger ledger{folder.ledger(), LedgerAccess::create};
};

BOOST_AUTO_TEST_SUITE(sqlite_ledger_layout)

BOOST_AUTO_TEST_CASE(C6_a_clock_that_steps_costs_a_few_bytes_and_changes_nothing)
{
    TemporaryFolder folder;
    SqliteLedger ledger(folder.ledger(), LedgerAccess::create);
    const auto stretches = [&folder] {
        SQLite::Database file(folder.ledger().string());
        return file.execAndGet("SELECT count(*) FROM boot").getInt();
    };
    std::vector<Reading> sent;
    const auto send = [&](Reading reading, std::chrono::milliseconds step) {
        reading.sequence = Sequence{sent.size() + 1};
        reading.total = Pulses{sent.size()};
        reading.measured_at += step;
        append(ledger, reading);
        sent.push_back(reading);
    };
    for (const auto wander : {0ms, 6ms, -6ms, 3ms}) // two clocks that are not read at quite the same moment
        send(sample(1, sent.size() + 1, 0), wander);
    BOOST_TEST(stretches() == 1);
    for (int turn = 0; turn < 3;
         ++turn) { // the time was set, and readings from before are sent again and again
        send(sample(1, sent.size() + 1, 0), 365 * 24h);
        send(sample(1, sent.size() + 1, 0), 0ms);
    }
    BOOST_TEST(stretches() == 2);
    for (int step = 1; step <= 50; ++step)
        send(sample(1, sent.size() + 1, 0), step * 1s);
    BOOST_TEST(stretches() == 8); // not one for each

    const auto stored = all_readings(ledger);
    BOOST_TEST_REQUIRE(stored.size() == sent.size());
    for (std::size_t index = 0; index < sent.size(); ++index) {
        BOOST_TEST((stored[index].reading == sent[index]), "reading " << index + 1);
        BOOST_TEST((stored[index].received_at == noon));
    }
}

BOOST_FIXTURE_TEST_CASE(layout_2_is_packed_and_its_seals_hold, Older)
{
    BOOST_CHECK_THROW(SqliteLedger(copy, LedgerAccess::read),
                      UsageError); // whoever only reads changes nothing
    SqliteLedger updated(copy, LedgerAccess::write);
    check_all_is_there(updated);
    const LedgerAudit audit = updated.verify(key, ledger.head());
    BOOST_TEST(audit.fault.value_or("") == "");
    BOOST_TEST(audit.meters.at(0).sealed_rows > 0U);
    append(updated, sample(1, 40, 500), first_day + 90h);
    BOOST_TEST(updated.summary(kitchen)->newest.sequence.value == 40U);
    SqliteLedger again(copy, LedgerAccess::read); // nothing is left to do
}

BOOST_FIXTURE_TEST_CASE(an_older_one_can_be_copied_as_it_is_and_the_copy_be_brought_up_to_date, Older)
{
    const auto other = folder.path() / "other.sqlite";
    {
        SqliteLedger as_it_is(copy, LedgerAccess::copy);
        BOOST_TEST(as_it_is.find_damage().value_or("") == "");
        as_it_is.copy_to(other);
    }
    BOOST_CHECK_THROW(SqliteLedger(other, LedgerAccess::read), UsageError); // still of layout 2
    SqliteLedger updated(other, LedgerAccess::write);
    check_all_is_there(updated);
    BOOST_CHECK_THROW(SqliteLedger(copy, LedgerAccess::read), UsageError);
    run("PRAGMA user_version = 99");
    BOOST_CHECK_THROW(SqliteLedger(copy, LedgerAccess::copy), UsageError);
}

BOOST_FIXTURE_TEST_CASE(P3_layout_3_is_watched_from_then_on, Older)
{
    for (const auto& path : {layout_3, copy}) {
        SqliteLedger updated(path, LedgerAccess::write);
        check_all_is_there(updated);
        BOOST_TEST(updated.find_change().value_or("") == "");
        BOOST_TEST(updated.verify(key, ledger.head()).fault.value_or("") == "");
        SQLite::Database(path.string(), SQLite::OPEN_READWRITE)
            .exec("DELETE FROM reading WHERE sequence = (SELECT max(first) FROM open_day)");
        BOOST_TEST(updated.find_change().value_or("") != "");
    }
}

BOOST_FIXTURE_TEST_CASE(layout_1_gets_what_layout_2_added_too, Older)
{
    run("DROP TABLE fall; DROP TABLE open_day; DROP TABLE late; DROP TABLE seal; DROP TABLE gap; "
        "DROP TABLE restoration; PRAGMA user_version = 1");
    SqliteLedger updated(copy, LedgerAccess::write);
    check_all_is_there(updated);
    for (const auto& what : updated.unsealed(first_day + 60h))
        updated.seal(what, key);
    const LedgerAudit audit = updated.verify(key);
    BOOST_TEST(audit.fault.value_or("") == "");
    BOOST_TEST(audit.meters.at(0).sealed_rows > 0U);
}

BOOST_FIXTURE_TEST_CASE(P3_a_damaged_one_is_refused_and_left_as_it_is, Older)
{
    for (const char* damage : {"UPDATE reading SET total = -1 WHERE sequence = 9",
                               "UPDATE reading SET measured = -1 WHERE sequence = 9",
                               "UPDATE reading SET extra = x'00' WHERE sequence = 9", "DELETE FROM boot"}) {
        run("CREATE TABLE kept AS SELECT * FROM reading; CREATE TABLE kept_boot AS SELECT * FROM boot");
        run(damage);
        BOOST_CHECK_THROW(SqliteLedger(copy, LedgerAccess::write), UsageError);
        run("DELETE FROM reading; INSERT INTO reading SELECT * FROM kept; DROP TABLE kept; "
            "DELETE FROM boot; INSERT INTO boot SELECT * FROM kept_boot; DROP TABLE kept_boot");
    }
    SqliteLedger updated(copy, LedgerAccess::write);
    check_all_is_there(updated);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
