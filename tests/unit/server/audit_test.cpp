// The audit: seals of closed days, and that nobody changes what they hold unseen.
#include "server/day_sealer.hpp"
#include "server/packed_reading.hpp"
#include "shared/errors.hpp"
#include "tests/unit/server/ledger_helpers.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>
#include <boost/test/unit_test.hpp>
#include <fmt/core.h>
#include <sys/stat.h>

#include <functional>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

AuditKey key_of(std::uint8_t byte)
{
    AuditKey key;
    std::fill(key.bytes().begin(), key.bytes().end(), byte);
    return key;
}
const AuditKey key = key_of(7);
const MeterId attic = meter_id("attic");
const WallTime first_day = std::chrono::floor<std::chrono::days>(noon) + 12h;

// Of the attic's only epoch, which has life 2.
std::string row(int sequence)
{
    return fmt::format(" WHERE life = 2 AND sequence = {}", sequence);
}

class Sealed {
protected:
    // Three days of ten readings of two meters; the third day is not over.
    Sealed()
    {
        for (std::uint64_t day = 0; day < 3; ++day) {
            for (std::uint64_t sequence = 10 * day + 1; sequence <= 10 * day + 10; ++sequence) {
                for (const MeterId& meter : {kitchen, attic})
                    (void)append(ledger, sample(1, sequence, 5 * sequence), first_day + day * 24h, meter);
            }
        }
        seal_all(first_day + 48h);
    }

    void seal_all(WallTime now)
    {
        for (const auto& what : ledger.unsealed(now))
            ledger.seal(what, key);
    }

    void tamper(const std::string& sql) const
    {
        SQLite::Database(folder.ledger().string(), SQLite::OPEN_READWRITE).exec(sql);
    }

    void tamper(int sequence, const std::function<void(PackedReading&)>& change) const
    {
        SQLite::Database file(folder.ledger().string(), SQLite::OPEN_READWRITE);
        SQLite::Statement kept(file, "SELECT facts FROM reading" + row(sequence));
        BOOST_REQUIRE(kept.executeStep());
        const auto* facts = static_cast<const std::uint8_t*>(kept.getColumn(0).getBlob());
        auto reading = unpack({facts, static_cast<std::size_t>(kept.getColumn(0).getBytes())}).value();
        kept.reset();
        change(reading);
        const auto packed = pack(reading);
        SQLite::Statement changed(file, "UPDATE reading SET facts = ?" + row(sequence));
        changed.bind(1, packed.data(), static_cast<int>(packed.size()));
        BOOST_REQUIRE(changed.exec() == 1);
    }

    std::string fault(const std::optional<AuditHead>& expected = std::nullopt)
    {
        const auto found = ledger.verify(key, expected).fault;
        BOOST_TEST_MESSAGE(found.value_or("in order"));
        return found.value_or("");
    }

    TemporaryFolder folder;
    SqliteLedger ledger{folder.ledger(), LedgerAccess::create};
};

bool has(const std::string& text, const std::string& words)
{
    return text.find(words) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(audit)

BOOST_FIXTURE_TEST_CASE(days_are_sealed_when_they_are_over_and_all_is_in_order, Sealed)
{
    const LedgerAudit audit = ledger.verify(key);
    BOOST_TEST(fault() == "");
    BOOST_TEST_REQUIRE(audit.meters.size() == 2U);
    for (const MeterAudit& meter : audit.meters) {
        BOOST_TEST(meter.sealed_rows == 20U);
        BOOST_TEST(meter.open_rows == 10U);
    }
    BOOST_TEST((audit.head == ledger.head()));
    BOOST_TEST(audit.head->number == 4U); // two meters, two days
    BOOST_TEST(ledger.unsealed(first_day + 48h).empty());
    BOOST_TEST(ledger.unsealed(first_day + 72h).size() == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_head_that_was_noted_stays_good_while_the_ledger_grows, Sealed)
{
    const auto noted = parse_head(text(*ledger.head()));
    BOOST_TEST((noted == ledger.head()));
    seal_all(first_day + 72h);
    BOOST_TEST((noted != ledger.head()));
    BOOST_TEST(fault(noted) == "");
    for (const std::string& wrong :
         {std::string(), std::string("4"), "0-" + std::string(64, 'a'), "4-" + std::string(63, 'a'),
          "4-" + std::string(64, 'g'), "4-" + std::string(65, 'a')})
        BOOST_TEST(!parse_head(wrong).has_value(), wrong);
}

BOOST_FIXTURE_TEST_CASE(a_changed_row_is_named_whatever_was_changed_in_it, Sealed)
{
    const std::vector<std::pair<std::string, std::function<void(PackedReading&)>>> changes{
        {"total", [](auto& reading) { ++reading.total.value; }},
        {"time, but not the receipt's", [](auto& reading) { ++reading.drift, --reading.delay; }},
        {"receipt", [](auto& reading) { ++reading.delay; }},
        {"uptime", [](auto& reading) { ++reading.uptime, --reading.drift; }},
        {"power", [](auto& reading) { reading.power = Milliwatts{7}; }},
        {"clock", [](auto& reading) { reading.clock = Clock::unsynchronised; }},
        {"standing", [](auto& reading) { reading.standing = Standing::accepted_by_operator; }},
        {"source", [](auto& reading) { reading.source = Source::unstated; }},
        {"quality", [](auto& reading) { reading.quality.glitches = 1; }},
        {"events", [](auto& reading) { reading.events = 1; }}};
    tamper("CREATE TABLE kept AS SELECT * FROM reading" + row(5));
    for (const auto& [what, change] : changes) {
        tamper(5, change);
        BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 5 is not what seal"), what);
        tamper("DELETE FROM reading" + row(5) + "; INSERT INTO reading SELECT * FROM kept");
        BOOST_TEST(fault() == "");
    }
    tamper("UPDATE life SET imp = 500 WHERE id = 2"); // what all rows of the epoch mean
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 1 is not what seal"));
}

BOOST_FIXTURE_TEST_CASE(a_removed_row_is_noticed_at_the_next_one_or_as_missing, Sealed)
{
    tamper("DELETE FROM reading" + row(5));
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 6 is not what"));
    BOOST_TEST(has(fault(), "after epoch 1 reading 4"));
}

BOOST_FIXTURE_TEST_CASE(the_last_rows_of_a_day_are_missing_when_removed, Sealed)
{
    tamper("DELETE FROM reading WHERE life = 2 AND sequence >= 19");
    BOOST_TEST(has(fault(), "2 are missing, the first of them after epoch 1 reading 18"));
}

BOOST_FIXTURE_TEST_CASE(an_inserted_row_is_named, Sealed)
{
    tamper("INSERT INTO reading SELECT life, 100, facts FROM reading" + row(10));
    tamper(100, [](auto& reading) { reading.total.value = 150; });
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 100 is not what"));
    tamper(100, [](auto& reading) { reading.delay -= 86'400'000; }); // a day without a seal
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 100 is of a day"));
}

BOOST_FIXTURE_TEST_CASE(swapped_rows_are_named, Sealed)
{
    tamper("UPDATE reading SET sequence = 1000" + row(4));
    tamper("UPDATE reading SET sequence = 4" + row(5));
    tamper("UPDATE reading SET sequence = 5" + row(1000));
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 4 is not what"));
}

BOOST_FIXTURE_TEST_CASE(meters_that_changed_places_are_noticed, Sealed)
{
    tamper("UPDATE meter SET name = 'x' WHERE id = 1; UPDATE meter SET name = 'kitchen' WHERE id = 2; "
           "UPDATE meter SET name = 'attic' WHERE id = 1");
    BOOST_TEST(has(fault(), "is not what its rows and the seals before it make"));
}

BOOST_FIXTURE_TEST_CASE(a_removed_or_changed_seal_is_noticed, Sealed)
{
    tamper("CREATE TABLE kept AS SELECT * FROM seal");
    for (const auto& [change, words] :
         {std::pair<std::string, std::string>{"DELETE FROM seal WHERE number = 2", "seal 2 is missing"},
          {"DELETE FROM seal WHERE number = 2; UPDATE seal SET number = number - 1 WHERE number > 2",
           "is of a day"},
          {"UPDATE seal SET mac = zeroblob(32) WHERE number = 3", "seal 3 (of"},
          {"UPDATE seal SET day = day + 1 WHERE number = 1", ""},
          {"UPDATE seal SET row_count = 9 WHERE number = 1", "seal 1 (of"}}) {
        tamper(change);
        BOOST_TEST(fault() != "", change);
        BOOST_TEST(has(fault(), words), change);
        tamper("DELETE FROM seal; INSERT INTO seal SELECT * FROM kept");
        BOOST_TEST(fault() == "");
    }
}

BOOST_FIXTURE_TEST_CASE(seals_cut_off_at_the_end_are_seen_against_a_noted_head_only, Sealed)
{
    const auto noted = ledger.head();
    tamper("DELETE FROM seal WHERE number > 2");
    BOOST_TEST(fault() == ""); // as the header says
    BOOST_TEST(has(fault(noted), "there are 2 seals"));
    tamper("DELETE FROM seal");
    BOOST_TEST(has(fault(noted), "there are 0 seals"));
}

BOOST_FIXTURE_TEST_CASE(without_the_right_key_nothing_is_in_order, Sealed)
{
    BOOST_TEST(ledger.verify(key_of(8)).fault.has_value());
    BOOST_TEST(ledger.verify(std::nullopt).fault.has_value());
}

BOOST_FIXTURE_TEST_CASE(late_rows_are_amended_and_protected_from_then_on, Sealed)
{
    append(ledger, sample(1, 31, 20), first_day); // falls: held on a day that is sealed
    BOOST_TEST(ledger.accept(held_key(1, 31), first_day + 48h).has_value());
    (void)append(ledger, sample(1, 32, 160), first_day - 24h, attic); // a clock that was set back
    LedgerAudit audit = ledger.verify(key);
    BOOST_TEST(fault() == "");
    BOOST_TEST(audit.meters[0].open_rows == 11U);
    BOOST_TEST(audit.meters[1].open_rows == 11U);

    seal_all(first_day + 49h);
    audit = ledger.verify(key);
    BOOST_TEST(fault() == "");
    BOOST_TEST(audit.head->number == 6U);
    BOOST_TEST(audit.meters[0].open_rows == 10U);
    BOOST_TEST(audit.meters[1].sealed_rows == 21U);
    tamper(32, [](auto& reading) { ++reading.total.value; });
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 32 is not what seal"));
    tamper(32, [](auto& reading) { --reading.total.value; });
    tamper("DELETE FROM late WHERE life = 2");
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 32"));
}

BOOST_FIXTURE_TEST_CASE(order_and_totals_are_checked_on_the_day_that_is_not_over_too, Sealed)
{
    tamper(25, [](auto& reading) { reading.total.value = 1; });
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 25: the total is 1 after 120"));
    tamper("INSERT INTO fall VALUES (2, 25, 119)"); // as if the operator had accepted it
    BOOST_TEST(has(fault(), "meter attic, epoch 1 reading 25: the total falls"));
}

BOOST_FIXTURE_TEST_CASE(the_sealer_works_off_a_day_a_turn_and_looks_again_the_next_day, Sealed)
{
    DaySealer sealer(ledger, key);
    auto now = DaySealer::SteadyTime{} + 1h;
    auto wall = first_day + 72h;
    BOOST_TEST((sealer.turn(now, wall) == now)); // there is more
    BOOST_TEST(ledger.head()->number == 5U);
    BOOST_TEST((sealer.turn(now, wall) == now + DaySealer::looked_every));
    BOOST_TEST(ledger.head()->number == 6U);
    (void)append(ledger, sample(1, 31, 155), wall);
    now += 24h;
    wall += 24h;
    BOOST_TEST((sealer.turn(now, wall) == now + DaySealer::looked_every));
    BOOST_TEST(ledger.head()->number == 7U);
    BOOST_TEST(fault() == "");
}

BOOST_FIXTURE_TEST_CASE(a_copy_is_whole_private_and_never_over_another_file, Sealed)
{
    const auto copy = folder.path() / "copy.sqlite";
    ledger.copy_to(copy);
    struct stat status {};
    BOOST_TEST_REQUIRE(stat(copy.c_str(), &status) == 0);
    BOOST_TEST((status.st_mode & 0777U) == 0600U);
    BOOST_CHECK_THROW(ledger.copy_to(copy), UsageError);
    SqliteLedger copied(copy, LedgerAccess::read);
    BOOST_TEST(all_readings(copied, attic).size() == 30U);
    BOOST_TEST(copied.verify(key, ledger.head()).fault.value_or("") == "");
}

BOOST_FIXTURE_TEST_CASE(after_a_restore_the_lost_readings_are_a_gap_and_the_total_heals, Sealed)
{
    const auto copy = folder.path() / "copy.sqlite";
    ledger.copy_to(copy);
    SqliteLedger restored(copy, LedgerAccess::write);
    restored.note_restored(first_day + 50h);
    BOOST_TEST(restored.summary(kitchen)->gaps.empty()); // nobody knows yet

    // 31 … 93 were confirmed after the backup and are gone; 50 is still in the meter's outbox
    append(restored, sample(1, 94, 470), first_day + 50h);
    BOOST_TEST((restored.summary(kitchen)->gaps == std::vector<Gap>{{{1}, {31}, Sequence{93}}}));
    append(restored, sample(1, 50, 250), first_day + 50h);
    BOOST_TEST((restored.summary(kitchen)->gaps ==
                std::vector<Gap>{{{1}, {31}, Sequence{49}}, {{1}, {51}, Sequence{93}}}));
    BOOST_TEST(restored.summary(kitchen)->newest.total.value == 470U);
    BOOST_TEST(restored.summary(kitchen)->consumption.at(0).pulses.value == 465U);
    BOOST_TEST(all_readings(restored).size() == 32U); // none was made up

    append(restored, sample(2, 3, 10), first_day + 50h); // an epoch whose beginning was lost
    BOOST_TEST((restored.summary(kitchen)->gaps.back() == Gap{{2}, {1}, Sequence{2}}));
    (void)append(restored, sample(1, 31, 155), first_day + 50h, attic); // this meter lost nothing
    BOOST_TEST(restored.summary(attic)->gaps.empty());

    const auto events = restored.events(100);
    BOOST_TEST(count_events(restored, EventKind::gap) == 2U);
    BOOST_TEST(std::any_of(events.begin(), events.end(), [](const LedgerEvent& event) {
        return event.kind == EventKind::gap && event.meter == kitchen &&
               has(event.detail, "gap 31…93 in epoch 1");
    }));
}

BOOST_FIXTURE_TEST_CASE(after_a_restore_a_hole_that_the_backup_has_is_a_gap_until_it_is_filled, Sealed)
{
    append(ledger, sample(1, 50, 250), first_day + 49h); // 31 … 49 come behind it, and the backup is made
    append(ledger, sample(1, 40, 3), first_day + 49h);   // … refused
    const auto copy = folder.path() / "copy.sqlite";
    ledger.copy_to(copy);
    SqliteLedger restored(copy, LedgerAccess::write);
    restored.note_restored(first_day + 50h);
    const auto gaps = [&restored] { return restored.summary(kitchen)->gaps; };
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, Sequence{39}}, {{1}, {41}, Sequence{49}}}));
    BOOST_TEST(count_events(restored, EventKind::gap) == 1U);
    BOOST_TEST(has(restored.events(1).at(0).detail, "gap 31…49 in epoch 1"));
    for (std::uint64_t sequence = 31; sequence < 45; ++sequence)
        append(restored, sample(1, sequence, 5 * sequence), first_day + 50h);
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {45}, Sequence{49}}}));
    append(restored, sample(1, 51, 255), first_day + 50h); // nothing was lost at the end
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {45}, Sequence{49}}}));
    restored.note_restored(first_day + 51h); // and once more
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {45}, Sequence{49}}}));
    for (std::uint64_t sequence = 45; sequence < 50; ++sequence)
        append(restored, sample(1, sequence, 5 * sequence), first_day + 51h);
    BOOST_TEST(gaps().empty());
    BOOST_TEST(restored.summary(attic)->gaps.empty());
}

BOOST_FIXTURE_TEST_CASE(after_a_restore_of_holes_without_number_the_largest_are_gaps, Sealed)
{
    for (std::uint64_t sequence = 32; sequence < 1000; sequence += 2) // as a thinned outbox leaves them
        append(ledger, sample(1, sequence, 5 * sequence), first_day + 49h);
    append(ledger, sample(1, 1100, 5500), first_day + 49h);
    ledger.note_restored(first_day + 50h);
    const auto gaps = ledger.summary(kitchen)->gaps;
    BOOST_TEST_REQUIRE(gaps.size() == SqliteLedger::most_gaps_shown);
    BOOST_TEST((gaps.back() == Gap{{1}, {999}, Sequence{1099}}));
    BOOST_TEST(count_events(ledger, EventKind::gap) == SqliteLedger::most_gaps_shown);

    append(ledger, sample(1, 5000, 25'000), first_day + 51h); // what was lost with the restore is the largest
    const auto after = ledger.summary(kitchen)->gaps;
    BOOST_TEST_REQUIRE(after.size() == SqliteLedger::most_gaps_shown);
    BOOST_TEST((after.back() == Gap{{1}, {1101}, Sequence{4999}}));
}

BOOST_FIXTURE_TEST_CASE(after_a_restore_an_epoch_that_ended_meanwhile_has_perhaps_a_gap_without_end, Sealed)
{
    (void)append(ledger, simulated(sample(2, 1, 0)), first_day + 49h); // another register
    (void)append(ledger, sample(2, 1, 150), first_day + 49h, attic);   // 1 was over before the backup
    const auto copy = folder.path() / "copy.sqlite";
    ledger.copy_to(copy);
    SqliteLedger restored(copy, LedgerAccess::write);
    restored.note_restored(first_day + 50h);
    const auto gaps = [&restored] { return restored.summary(kitchen)->gaps; };

    append(restored, sample(3, 1, 200), first_day + 50h); // 31 … were confirmed after the backup and are gone
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, std::nullopt}}));
    BOOST_TEST(has(restored.events(1).at(0).detail, "lacks after its reading 30"));
    restored.note_restored(first_day + 50h); // and once more
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, std::nullopt}}));
    append(restored, sample(1, 38, 190), first_day + 50h); // the meter has the last ones still
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, Sequence{37}}}));
    append(restored, sample(4, 1, 300), first_day + 51h); // since then nothing came of 3
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, Sequence{37}}, {{3}, {2}, std::nullopt}}));
    append(restored, sample(3, 2, 201), first_day + 51h); // all of it
    BOOST_TEST((gaps() == std::vector<Gap>{{{1}, {31}, Sequence{37}}}));

    (void)append(restored, sample(2, 2, 151), first_day + 50h, attic); // goes on: nothing is lost
    (void)append(restored, sample(3, 1, 151), first_day + 50h, attic);
    BOOST_TEST(restored.summary(attic)->gaps.empty());
}

BOOST_FIXTURE_TEST_CASE(after_a_restore_an_epoch_of_which_nothing_is_left_is_perhaps_a_gap, Sealed)
{
    (void)append(ledger, sample(3, 1, 150), first_day + 49h); // 2 is no loss of the restore's
    BOOST_TEST(ledger.summary(kitchen)->gaps.empty());
    ledger.note_restored(first_day + 50h);
    (void)append(ledger, sample(6, 1, 200), first_day + 50h);
    const std::vector<Gap> expected{
        {{3}, {2}, std::nullopt}, {{4}, {1}, std::nullopt}, {{5}, {1}, std::nullopt}};
    BOOST_TEST((ledger.summary(kitchen)->gaps == expected));
    (void)append(ledger, sample(5, 1, 190), first_day + 51h); // the meter has it still
    BOOST_TEST((ledger.summary(kitchen)->gaps == std::vector<Gap>(expected.begin(), expected.end() - 1)));
    (void)append(ledger, sample(4'000'000'000, 1, 300), first_day + 52h); // as many as are shown, and at once
    BOOST_TEST(ledger.summary(kitchen)->gaps.size() == SqliteLedger::most_gaps_shown);
    BOOST_TEST(ledger.summary(attic)->gaps.empty());
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
