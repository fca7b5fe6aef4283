// SqliteMeterStore on files that are damaged, foreign, or without checksums.
#include "shared/errors.hpp"
#include "shared/files.hpp"
#include "tests/unit/meter-pi/meter_store_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <fstream>

using namespace pulsemeter;
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(sqlite_meter_store_damage)

BOOST_AUTO_TEST_CASE(P3_a_damaged_or_foreign_file_is_refused_by_name)
{
    const TemporaryFolder folder;
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        for (std::uint64_t sequence = 1; sequence <= 200; ++sequence)
            append(store, sequence);
    }
    const fs::path file = folder.path() / "meter.sqlite";
    {
        std::fstream damage(file, std::ios::in | std::ios::out | std::ios::binary);
        damage.seekp(4096);
        damage << std::string(8192, '\xa5');
    }
    const auto names_the_file = [&](const StoreError& error) {
        return std::string(error.what()).find(file.string()) != std::string::npos;
    };
    BOOST_CHECK_EXCEPTION(SqliteMeterStore(folder.path(), StoreAccess::own), StoreError, names_the_file);

    std::ofstream(file, std::ios::trunc)
        << "not a database, but long enough to be read as one: " << std::string(200, 'x');
    BOOST_CHECK_EXCEPTION(SqliteMeterStore(folder.path(), StoreAccess::own), StoreError, names_the_file);
}

BOOST_AUTO_TEST_CASE(P3_another_programs_database_and_another_versions_are_refused_as_they_were)
{
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "meter.sqlite";
    const auto refused = [&](const std::string& words) {
        const std::string before = read_file(file);
        BOOST_CHECK_EXCEPTION(SqliteMeterStore(folder.path(), StoreAccess::own), StoreError,
                              [&](const StoreError& error) {
                                  return std::string(error.what()).find(words) != std::string::npos;
                              });
        BOOST_TEST((read_file(file) == before));
    };
    SQLite::Database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
        .exec("CREATE TABLE register (a); PRAGMA user_version = 1");
    refused("another program");

    fs::remove(file);
    static_cast<void>(SqliteMeterStore(folder.path(), StoreAccess::own));
    SQLite::Database(file.string(), SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 3");
    refused("another version");
}

// The total is found in the file by its bytes, and every bit of the row around it is turned.
BOOST_AUTO_TEST_CASE(P3_a_flipped_bit_of_the_register_is_noticed)
{
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "meter.sqlite";
    StoredRegister good = stored(1, 0x010203);
    good.renewal = Renewal{MilliwattHours{5}, MeterConstant{1000}, Pulses{0x020406}, 3};
    (void)SqliteMeterStore(folder.path(), StoreAccess::own)
        .commit({.register_now = good, .reading = reading(1)});
    const std::string before = read_file(file);
    std::size_t noticed = 0;
    for (const char* total : {"\x01\x02\x03", "\x02\x04\x06"}) {
        const std::size_t place = before.find(total);
        BOOST_REQUIRE(place != std::string::npos);
        for (std::size_t bit = 8 * (place - 24); bit < 8 * std::min(place + 24, before.size()); ++bit) {
            std::string damaged = before;
            damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
            std::ofstream(file, std::ios::binary) << damaged;
            try {
                SqliteMeterStore store(folder.path(), StoreAccess::look);
                BOOST_TEST((store.load(Source::measured) == good), "bit " << bit);
            } catch (const StoreError&) {
                ++noticed;
            }
        }
    }
    BOOST_TEST(noticed > 200U); // of 768; the others are of the free space around it, or the confirmation's
}

BOOST_AUTO_TEST_CASE(P3_a_reading_with_a_flipped_bit_is_left_out_and_no_other_one)
{
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "meter.sqlite";
    constexpr std::uint64_t first = 0x6162;
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        for (std::uint64_t sequence = first; sequence < first + 300; ++sequence)
            append(store, sequence);
    }
    const std::string before = read_file(file);
    const std::uint64_t total = 10 * (first + 100);
    std::string wanted;
    for (unsigned shift = 24; shift > 0; shift -= 8)
        wanted += static_cast<char>(total >> (shift - 8));
    const std::size_t place = before.find(wanted); // the number and the epoch lie before it
    BOOST_REQUIRE(place != std::string::npos);
    std::size_t left_out = 0;
    for (std::size_t bit = 8 * (place - 12); bit < 8 * (place + 12); bit += 3) {
        std::string damaged = before;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
        std::ofstream(file, std::ios::binary) << damaged;
        fs::remove(folder.path() / "meter.sqlite-wal");
        try {
            SqliteMeterStore store(folder.path(), StoreAccess::own);
            std::vector<Reading> rows;
            for (auto page = store.outbox({}, 64); !page.empty(); page = store.outbox(key(rows.back()), 64))
                rows.insert(rows.end(), page.begin(), page.end());
            for (const Reading& row : rows)
                BOOST_TEST((row == reading(row.sequence.value)), "bit " << bit);
            const std::size_t held =
                store.held({}, 10).size(); // `held` itself is not protected, and harmless
            BOOST_TEST(rows.size() + held >= 299U, "bit " << bit << ": " << rows.size());
            left_out += rows.size() + held == 299U ? 1U : 0U;
            append(store, first + 300);
        } catch (const StoreError&) { // refused as a whole
        }
    }
    BOOST_TEST(left_out > 20U);
}

BOOST_AUTO_TEST_CASE(a_store_without_checksums_is_brought_up_to_date)
{
    const TemporaryFolder folder;
    StoredRegister good = stored(1, 10);
    good.renewal = Renewal{MilliwattHours{5}, MeterConstant{1000}, Pulses{7}, 3};
    (void)SqliteMeterStore(folder.path(), StoreAccess::own)
        .commit({.register_now = good, .reading = reading(1)});
    const std::string file = (folder.path() / "meter.sqlite").string();
    const auto change = [&](const char* sql) { SQLite::Database(file, SQLite::OPEN_READWRITE).exec(sql); };
    change("ALTER TABLE register DROP COLUMN checksum; ALTER TABLE outbox DROP COLUMN checksum; PRAGMA "
           "user_version = 1");
    BOOST_TEST((SqliteMeterStore(folder.path(), StoreAccess::look).load(Source::measured) == good));
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        BOOST_TEST((store.load(Source::measured) == good));
        BOOST_TEST((store.outbox({}, 2) == std::vector{reading(1)}));
    }
    BOOST_TEST((SqliteMeterStore(folder.path(), StoreAccess::look).load(Source::measured) == good));
    change("UPDATE register SET total = total + 1");
    SqliteMeterStore damaged(folder.path(), StoreAccess::look);
    BOOST_CHECK_THROW((void)damaged.load(Source::measured), StoreError);
}

BOOST_AUTO_TEST_SUITE_END()
