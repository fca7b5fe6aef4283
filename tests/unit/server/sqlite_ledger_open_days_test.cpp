// P3: what no seal holds yet is watched by checksums: the rows of days that are not over, late ones, and refused ones.
#include "server/day_sealer.hpp"
#include "tests/unit/server/ledger_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>
#include <fmt/core.h>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

const AuditKey key;
const MeterId attic = meter_id("attic");
const WallTime first_day = std::chrono::floor<std::chrono::days>(noon) + 12h;
const std::string day = "2023-11-14"; // of `noon`

class Watched {
protected:
    // Ten readings of two meters each day, in any order and some at once.
    Watched()
    {
        for (std::uint64_t days = 0; days < 2; ++days) {
            for (const MeterId& meter : {kitchen, attic}) {
                std::vector<IncomingReading> batch;
                for (const std::uint64_t sequence : {3U, 1U, 2U, 7U, 6U, 5U, 4U, 10U, 8U, 9U})
                    batch.push_back({meter, sample(1, 10 * days + sequence, 50 * days + 5 * sequence)});
                const auto now = first_day + days * 24h;
                (void)ledger.append(std::span(batch).first(4), now);
                (void)ledger.append(std::span(batch).subspan(4), now);
            }
        }
    }

    void run(const std::string& sql) const
    {
        SQLite::Database(folder.ledger().string(), SQLite::OPEN_READWRITE).exec(sql);
    }

    // Also where what is there is no reading at all.
    std::string change()
    {
        try {
            return ledger.find_change().value_or("");
        } catch (const std::exception& error) {
            return error.what();
        }
    }

    // Every bit of a blob.
    void flip(const std::string& table, const std::string& column, const std::string& where)
    {
        SQLite::Database file(folder.ledger().string(), SQLite::OPEN_READWRITE);
        const std::string from = fmt::format(" FROM {} WHERE {}", table, where);
        const std::vector<unsigned char> sound = [&] {
            const SQLite::Column blob = file.execAndGet("SELECT " + column + from);
            const auto* begin = static_cast<const unsigned char*>(blob.getBlob());
            return std::vector(begin, begin + blob.getBytes());
        }();
        SQLite::Statement store(file, fmt::format("UPDATE {} SET {} = ? WHERE {}", table, column, where));
        const auto put = [&store](const std::vector<unsigned char>& bytes) {
            store.bind(1, bytes.data(), static_cast<int>(bytes.size()));
            BOOST_TEST_REQUIRE(store.exec() == 1);
            store.reset();
        };
        for (std::size_t bit = 0; bit < 8 * sound.size(); ++bit) {
            auto bytes = sound;
            bytes[bit / 8] ^= static_cast<unsigned char>(1U << bit % 8);
            put(bytes);
            BOOST_TEST(change() != "", table << "." << column << ", bit " << bit);
        }
        put(sound);
        BOOST_TEST(change() == "");
    }

    TemporaryFolder folder;
    SqliteLedger ledger{folder.ledger(), LedgerAccess::create};
};

BOOST_AUTO_TEST_SUITE(sqlite_ledger_open_days)

BOOST_FIXTURE_TEST_CASE(P3_a_flipped_bit_of_a_day_that_is_not_over_is_noticed, Watched)
{
    BOOST_TEST(change() == "");
    flip("boot", "boot", "id = 1");
    for (const char* damage :
         {"UPDATE boot SET began = began + 4", "UPDATE life SET imp = 1004 WHERE id = 2",
          "UPDATE life SET start = 64 WHERE id = 2", "UPDATE life SET epoch = 3 WHERE id = 2",
          "UPDATE life SET source = 3 - source WHERE id = 2",
          "DELETE FROM reading WHERE life = 2 AND sequence = 7",
          "UPDATE reading SET sequence = 39 WHERE life = 2 AND sequence = 7",
          "UPDATE reading SET life = 3 WHERE life = 2 AND sequence = 7",
          "INSERT INTO reading SELECT life, 15, facts FROM reading WHERE life = 2 AND sequence = 14; "
          "DELETE FROM reading WHERE life = 2 AND sequence = 14",
          "UPDATE open_day SET checksums = checksums + 1 WHERE life = 2",
          "UPDATE open_day SET row_count = row_count + 8 WHERE life = 2",
          "UPDATE open_day SET first = first + 4 WHERE life = 2",
          "UPDATE open_day SET last = last - 4 WHERE life = 2",
          "UPDATE open_day SET day = day + 512 WHERE life = 2",
          "UPDATE open_day SET life = 66 WHERE life = 2", "DELETE FROM open_day WHERE life = 2",
          "UPDATE life SET meter = 66 WHERE id = 2"}) {
        run("CREATE TABLE r AS SELECT * FROM reading; CREATE TABLE b AS SELECT * FROM boot; "
            "CREATE TABLE l AS SELECT * FROM life; CREATE TABLE o AS SELECT * FROM open_day");
        try {
            run(damage);
            BOOST_TEST(change() != "", damage);
        } catch (const SQLite::Exception& impossible) { // two rows of one key
            BOOST_TEST_MESSAGE(damage << ": " << impossible.what());
        }
        run("DELETE FROM reading; INSERT INTO reading SELECT * FROM r; DELETE FROM boot; INSERT INTO boot "
            "SELECT * FROM b; "
            "DELETE FROM life; INSERT INTO life SELECT * FROM l; DELETE FROM open_day; INSERT INTO open_day "
            "SELECT * FROM "
            "o; DROP TABLE r; DROP TABLE b; DROP TABLE l; DROP TABLE o");
        BOOST_TEST(change() == "");
    }
    flip("reading", "facts", "life = 2 AND sequence = 7");
}

BOOST_FIXTURE_TEST_CASE(P3_a_damaged_day_is_never_sealed_and_all_others_are, Watched)
{
    const std::string named = "meter attic, epoch 1: of the readings 1 to 10 that came on " + day +
                              ", at least one is not as it was stored";
    DaySealer sealer(ledger, key);
    const auto work_off = [&](WallTime wall) {
        for (auto now = DaySealer::SteadyTime{} + (wall - first_day); sealer.turn(now, wall) == now;) {
        }
    };
    // One that is not there, one that is no reading any more
    for (const char* damage : {"DELETE FROM reading WHERE life = 2 AND sequence = 7",
                               "INSERT INTO reading VALUES (2, 7, x'00')"}) {
        run(damage);
        BOOST_TEST(change() == named);
        work_off(first_day + (damage[0] == 'D' ? 48h : 72h));
        BOOST_TEST(ledger.head()->number == 3U); // the kitchen's two days, and the attic's second
        BOOST_TEST(count_events(ledger, EventKind::damaged) == (damage[0] == 'D' ? 1U : 2U));
        BOOST_TEST(ledger.events(1).at(0).detail == named);
        BOOST_TEST(ledger.alarms(first_day).at(0).newest.detail == named);
    }
    run("DELETE FROM reading WHERE life = 2 AND sequence = 7");
    BOOST_TEST(ledger.verify(key).fault.value_or("") == named);
}

BOOST_FIXTURE_TEST_CASE(P3_a_damaged_late_row_is_named_and_not_sealed, Watched)
{
    for (const auto& what : ledger.unsealed(first_day + 48h))
        ledger.seal(what, key);
    append(ledger, sample(1, 21, 105), first_day); // by a clock that was set back
    BOOST_TEST(change() == "");
    flip("reading", "facts", "life = 1 AND sequence = 21");
    const auto late = ledger.unsealed(first_day + 72h);
    BOOST_TEST_REQUIRE(late.size() == 1U);
    const std::string named = "meter kitchen, epoch 1 reading 21 is not as it was stored";
    run("CREATE TABLE kept AS SELECT * FROM reading WHERE sequence = 21");
    for (const char* damage :
         {"UPDATE late SET checksum = checksum + 1", "DELETE FROM reading WHERE sequence = 21"}) {
        run(damage);
        BOOST_TEST(change() == named);
        BOOST_CHECK_THROW(ledger.seal(late[0], key), ChangedRows);
        run("UPDATE late SET checksum = checksum - 1");
    }
    run("UPDATE late SET checksum = checksum + 1; INSERT INTO reading SELECT * FROM kept");
    ledger.seal(late[0], key);
    BOOST_TEST(ledger.verify(key).fault.value_or("") == "");
    BOOST_TEST(ledger.head()->number == 5U);
}

// The clock is set back while days wait to be sealed: a day comes that is older than one that is sealed already.
BOOST_FIXTURE_TEST_CASE(P3_days_that_are_sealed_out_of_their_order_are_no_damage, Watched)
{
    const auto days = ledger.unsealed(first_day + 72h);
    BOOST_TEST_REQUIRE(days.size() == 4U);
    for (const std::size_t index : {2U, 3U, 0U, 1U}) { // the second day first
        ledger.seal(days[index], key);
        BOOST_TEST(change() == "");
        BOOST_TEST(ledger.verify(key).fault.value_or("") == "");
        append(ledger, sample(1, 100 + index, 500 + 5 * index), first_day + 48h); // a third day
        append(ledger, sample(1, 90 + index, 450 + 5 * index), first_day);        // the first one again
        BOOST_TEST(change() == "");
    }
    for (const auto& what : ledger.unsealed(first_day + 96h))
        ledger.seal(what, key);
    BOOST_TEST(change() == "");
    const LedgerAudit audit = ledger.verify(key);
    BOOST_TEST(audit.fault.value_or("") == "");
    BOOST_TEST(audit.meters.at(1).sealed_rows == 28U);
    BOOST_TEST(ledger.unsealed(first_day + 96h).empty());
}

BOOST_FIXTURE_TEST_CASE(P3_a_damaged_refusal_is_left_out_until_the_reading_comes_again_or_it_is_discarded,
                        Watched)
{
    const Reading fallen = sample(1, 21, 3);
    append(ledger, fallen, first_day + 49h);
    BOOST_TEST_REQUIRE(ledger.held().size() == 1U);
    SQLite::Database file(folder.ledger().string(), SQLite::OPEN_READWRITE);
    const std::string sound = file.execAndGet("SELECT hex(content) FROM held").getString();
    for (std::size_t bit = 0; bit < 4 * sound.size(); ++bit) {
        std::string digits = sound;
        const auto value = static_cast<unsigned>(std::stoi(digits.substr(bit / 4, 1), nullptr, 16));
        digits.replace(bit / 4, 1, fmt::format("{:X}", value ^ 1U << bit % 4));
        file.exec("UPDATE held SET content = x'" + digits + "'");
        BOOST_TEST(ledger.held().empty());
        BOOST_TEST((ledger.accept(held_key(1, 21), first_day + 49h).error() == HeldError::not_held));
    }
    BOOST_TEST((append(ledger, fallen, first_day + 50h).notice == Notice::first_time));
    BOOST_TEST_REQUIRE(ledger.held().size() == 1U);
    BOOST_TEST((ledger.held()[0].reading == fallen));

    file.exec("UPDATE held SET sequence = 22"); // which no meter will send again
    BOOST_TEST(ledger.held().empty());
    BOOST_TEST(change() == ""); // what counts is sound
    BOOST_TEST(ledger.discard(held_key(1, 22), first_day + 51h).has_value());
    BOOST_TEST(file.execAndGet("SELECT count(*) FROM held").getInt() == 0);
    BOOST_TEST((ledger.discard(held_key(1, 22), first_day + 51h).error() == HeldError::not_held));

    append(ledger, fallen, first_day + 52h);
    file.exec("UPDATE held SET checksum = checksum + 1");
    append(ledger, sample(1, 21, 105), first_day + 52h); // a good one takes its number
    BOOST_TEST(file.execAndGet("SELECT count(*) FROM held").getInt() == 0);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
