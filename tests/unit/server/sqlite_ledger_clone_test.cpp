// Rows P6 and B3: what the ledger notices of two disks that come of one, and of two programs with one client id, and
// what it must not take for that.
#include "tests/unit/server/ledger_helpers.hpp"

#include <boost/test/unit_test.hpp>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

// The same time of measurement as sample()'s, told by another boot of the meter's system.
Reading rebooted(Reading reading)
{
    reading.boot = boot_id(9);
    reading.uptime = 1s;
    return reading;
}

Reading later(Reading reading, std::chrono::milliseconds by)
{
    reading.measured_at += by;
    reading.uptime += by;
    return reading;
}

class TwoEpochs {
protected:
    // Epoch 1 until 30 s after noon; of epoch 2 a reading of 40 s after.
    TwoEpochs()
    {
        for (const Reading& reading : {sample(1, 1, 0), sample(1, 2, 10), sample(1, 3, 20)})
            take(reading);
    }
    Appended take(const Reading& reading) { return append(ledger, reading, now += 10s); }
    void begin_second() { take(later(sample(2, 2, 30), 20s)); }
    std::size_t alarms() { return count_events(ledger, EventKind::clone); }

    WallTime now = noon;
    SqliteLedger ledger{":memory:", LedgerAccess::create};
};

BOOST_AUTO_TEST_SUITE(sqlite_ledger_clone)

BOOST_FIXTURE_TEST_CASE(P6_an_epoch_that_goes_on_beside_a_newer_one_is_an_alarm_and_that_once, TwoEpochs)
{
    begin_second();
    const Appended original = take(sample(1, 5, 40));
    BOOST_TEST(is_accepted(original.outcome));
    BOOST_TEST_REQUIRE(original.alarm.has_value());
    BOOST_TEST((original.alarm->kind == EventKind::clone));
    BOOST_TEST(
        original.alarm->detail.find("epoch 1 reading 5 (total 40): was measured after a newer epoch") == 0U);
    BOOST_TEST(ledger.events(1).at(0).detail == original.alarm->detail);
    BOOST_TEST(!take(later(sample(2, 3, 35), 20s)).alarm.has_value()); // the newer one is the meter's
    BOOST_TEST(!take(sample(1, 6, 50)).alarm.has_value());
    BOOST_TEST(!take(sample(1, 6, 50)).alarm.has_value());
    BOOST_TEST(alarms() == 1U);
}

BOOST_FIXTURE_TEST_CASE(P6_it_is_noticed_also_if_the_newer_epoch_comes_late, TwoEpochs)
{
    take(sample(1, 5, 40)); // measured after what comes now
    begin_second();
    BOOST_TEST(alarms() == 0U);
    take(sample(1, 6, 50));
    BOOST_TEST(alarms() == 1U);
    take(sample(1, 7, 60));
    BOOST_TEST(alarms() == 1U);
}

BOOST_FIXTURE_TEST_CASE(P6_between_two_boots_the_clocks_must_be_synchronised_and_far_apart, TwoEpochs)
{
    take(rebooted(later(sample(2, 2, 30), 20s))); // at noon + 40 s
    Reading guessed = later(sample(1, 4, 30), 24h);
    guessed.clock = Clock::unsynchronised;
    take(guessed);
    take(later(sample(1, 5, 30), 9min)); // two clocks that disagree
    BOOST_TEST(alarms() == 0U);
    take(later(sample(1, 6, 30), 11min));
    BOOST_TEST(alarms() == 1U);
    take(later(sample(1, 7, 30), 12min));
    BOOST_TEST(alarms() == 1U);
}

BOOST_FIXTURE_TEST_CASE(P6_a_backlog_another_source_and_a_register_that_was_set_are_no_clone, TwoEpochs)
{
    Reading set = later(sample(2, 1, 0), 5s); // where an epoch starts, not when
    set.events = static_cast<std::uint32_t>(MeterEvent::register_set);
    take(set);
    take(later(sample(1, 4, 30), 1s));
    take(later(sample(2, 2, 0), 25s)); // noon + 45 s
    take(later(sample(1, 5, 30), -8s));
    take(sample(1, 50, 40)); // … what is no backlog
    BOOST_TEST(alarms() == 1U);
    take(simulated(sample(3, 1, 0)));
    take(simulated(sample(3, 2, 0)));
    take(later(sample(2, 3, 5), 1h));
    BOOST_TEST(alarms() == 1U);
}

BOOST_FIXTURE_TEST_CASE(P6_a_meter_whose_disk_knew_less_than_the_server_is_an_alarm, TwoEpochs)
{
    Reading first = sample(2, 1, 30);
    first.events = static_cast<std::uint32_t>(MeterEvent::started) |
                   static_cast<std::uint32_t>(MeterEvent::server_was_ahead);
    const Appended begun = take(first);
    BOOST_TEST_REQUIRE(begun.alarm.has_value());
    BOOST_TEST(begun.alarm->detail.find("epoch 2 reading 1 (total 30): this server knew more") == 0U);
    BOOST_TEST(!take(first).alarm.has_value());
    take(sample(2, 2, 31));
    BOOST_TEST(alarms() == 1U);

    take(simulated(sample(3, 1, 0))); // a trial, and back
    first.epoch = Epoch{4};
    BOOST_TEST(is_accepted(take(first).outcome));
    (void)ledger.append_total(kitchen, Pulses{7}, now, Delivery::live); // the classic wire, and back
    first.epoch = Epoch{6};
    BOOST_TEST(is_accepted(take(first).outcome));
    BOOST_TEST(alarms() == 1U);
}

BOOST_FIXTURE_TEST_CASE(B3_a_meter_that_tells_of_another_program_with_its_client_id_is_an_alarm, TwoEpochs)
{
    Reading telling = sample(2, 2, 0);
    telling.events = static_cast<std::uint32_t>(MeterEvent::client_id_contested);
    const Appended told = take(telling);
    BOOST_TEST_REQUIRE(told.alarm.has_value());
    BOOST_TEST((told.alarm->kind == EventKind::client_id_contested));
    BOOST_TEST(!take(telling).alarm.has_value()); // once
    telling.sequence = Sequence{3};
    telling.uptime += 10s;
    telling.measured_at += 10s;
    BOOST_TEST(!take(telling).alarm.has_value()); // and once a day
    BOOST_TEST(count_events(ledger, EventKind::client_id_contested) == 1U);
    ledger.record({noon, EventKind::client_id_contested, std::nullopt, "the server's own"});
    ledger.record({noon - 24h, EventKind::bad_tokens, kitchen, "long ago"});
    ledger.record({noon, EventKind::bad_tokens, kitchen, "the first"});
    ledger.record({noon, EventKind::bad_tokens, kitchen, "the second"});
    ledger.record({noon, EventKind::held_accepted, kitchen, "no alarm"});

    const auto shown = ledger.alarms(noon - 1h);
    BOOST_TEST_REQUIRE(shown.size() == 3U);
    BOOST_TEST(shown[0].newest.detail == "the second");
    BOOST_TEST(shown[0].times == 2U);
    BOOST_TEST(shown[1].newest.detail == "the server's own");
    BOOST_TEST(!shown[1].newest.meter.has_value());
    BOOST_TEST((shown[2].newest.kind == EventKind::client_id_contested));
    BOOST_TEST((shown[2].newest.meter == kitchen));
    BOOST_TEST(ledger.events(3, kitchen).at(2).detail == "the first");
    BOOST_TEST(ledger.events(100, meter_id("attic")).empty());
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
