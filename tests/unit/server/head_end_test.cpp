#include "tests/unit/server/head_end_world.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <stdexcept>

namespace pulsemeter {
namespace {

DownMessage refused(std::uint32_t epoch, std::uint64_t sequence, RefusalReason reason)
{
    return Refused{Epoch{epoch}, Sequence{sequence}, reason};
}

BOOST_AUTO_TEST_SUITE(head_end)

BOOST_FIXTURE_TEST_CASE(a_reading_is_stored_told_and_confirmed, HeadEndWorld)
{
    const auto result = deliver_readings({sample(1, 1, 48)});
    BOOST_TEST((pi.received(result) == std::vector{confirmation(1, 1, 1)}));
    BOOST_TEST_REQUIRE(result.admitted.size() == 1U);
    BOOST_TEST((result.admitted[0].meter == pi.id));
    BOOST_TEST((result.admitted[0].reading == sample(1, 1, 48)));
    BOOST_TEST(result.alarms.empty());
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 1, 48)));
}

BOOST_FIXTURE_TEST_CASE(D2_a_range_holds_only_what_the_ledger_holds, HeadEndWorld)
{
    const auto first = deliver_readings({sample(1, 3, 30), sample(2, 1, 0), sample(1, 1, 10),
                                         sample(1, 2, 20), sample(1, 5, 50), sample(1, 3, 30)});
    BOOST_TEST((pi.received(first) ==
                std::vector{confirmation(1, 1, 3), confirmation(1, 5, 5), confirmation(2, 1, 1)}));
    // 4 is in the ledger after this; 6 falls and is not.
    const auto second =
        deliver_readings({sample(1, 4, 40), sample(1, 6, 1), sample(1, 7, 60), sample(1, 5, 50)});
    BOOST_TEST((pi.received(second) == std::vector{confirmation(1, 4, 5), confirmation(1, 7, 7),
                                                   refused(1, 6, RefusalReason::total_fell)}));
}

BOOST_FIXTURE_TEST_CASE(D3_a_duplicate_is_confirmed_again_and_not_told_again, HeadEndWorld)
{
    (void)deliver_readings({sample(1, 1, 48)});
    const auto again = deliver_readings({sample(1, 1, 48)});
    BOOST_TEST((pi.received(again) == std::vector{confirmation(1, 1, 1)}));
    BOOST_TEST(again.admitted.empty());
}

BOOST_FIXTURE_TEST_CASE(a_retained_reading_is_taken_like_any_other_and_told_even_if_known, HeadEndWorld)
{
    const std::string token = pi.seal(sample(1, 9, 90));
    const Arrival retained{pi.keys.up_topic, token, 1, true};
    for (int time = 0; time < 2; ++time) {
        const auto result = head_end.handle(std::span(&retained, 1), noon);
        BOOST_TEST((pi.received(result) == std::vector{confirmation(1, 9, 9)}));
        BOOST_TEST_REQUIRE(result.admitted.size() == 1U);
        BOOST_TEST(
            (result.admitted[0].novelty == (time == 0 ? Novelty::first_time : Novelty::known_already)));
    }
    BOOST_TEST((ledger.summary(kitchen)->delivery == Delivery::retained));
    (void)deliver_readings({sample(1, 10, 91)});
    BOOST_TEST((ledger.summary(kitchen)->delivery == Delivery::live));
}

BOOST_FIXTURE_TEST_CASE(an_admitted_reading_names_its_place_among_the_arrivals, HeadEndWorld)
{
    const auto result = deliver({"", pi.seal(sample(1, 1, 0)), pi.seal(hello(1)), pi.seal(sample(1, 2, 1))});
    BOOST_TEST_REQUIRE(result.admitted.size() == 2U);
    BOOST_TEST(result.admitted[0].arrival == 1U);
    BOOST_TEST(result.admitted[1].arrival == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_hello_is_answered_with_the_nonce_and_what_the_ledger_knows, HeadEndWorld)
{
    State nothing;
    nothing.nonce = hello(5).nonce;
    nothing.constant.imp_per_kwh = 0;
    BOOST_TEST((pi.received(deliver({pi.seal(hello(5))})) == std::vector<DownMessage>{nothing}));

    // A reading that came with the Hello is known already; each nonce is answered once.
    const auto greeting = pi.seal(hello(6));
    const auto result = deliver({greeting, pi.seal(sample(3, 2, 48)), greeting});
    const State known{hello(6).nonce, Epoch{3}, Epoch{3}, Sequence{2}, Pulses{48}, {1000}, {0}};
    BOOST_TEST((pi.received(result) == std::vector{confirmation(3, 2, 2), DownMessage{known}}));

    // C7: the other register knows only which epochs are taken.
    const auto simulation = pi.received(deliver({pi.seal(hello(7, Source::simulated))}));
    BOOST_TEST_REQUIRE(simulation.size() == 1U);
    const State unknown{hello(7).nonce, Epoch{3}, Epoch{0}, Sequence{0}, Pulses{0}, {0}, {0}};
    BOOST_TEST((simulation[0] == DownMessage{unknown}));
}

BOOST_FIXTURE_TEST_CASE(I3_a_refused_reading_is_answered_and_alarmed_once, HeadEndWorld)
{
    (void)deliver_readings({sample(1, 1, 0), sample(1, 2, 100)});
    const auto fall = deliver_readings({sample(1, 3, 50), sample(1, 3, 50)});
    BOOST_TEST((pi.received(fall) == std::vector{refused(1, 3, RefusalReason::total_fell)}));
    BOOST_TEST(fall.admitted.empty());
    BOOST_TEST_REQUIRE(fall.alarms.size() == 1U);
    BOOST_TEST((fall.alarms[0].kind == EventKind::refused));
    BOOST_TEST(fall.alarms[0].text == "epoch 1 reading 3 (total 50) refused: total fell");

    const auto again = deliver_readings({sample(1, 3, 50)});
    BOOST_TEST((pi.received(again) == std::vector{refused(1, 3, RefusalReason::total_fell)}));
    BOOST_TEST(again.alarms.empty());
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 2, 100)));
}

BOOST_FIXTURE_TEST_CASE(I3_the_largest_load_is_the_meter_s_own, HeadEndWorld)
{
    (void)deliver_readings({sample(1, 2, 0)});
    BOOST_TEST((pi.received(deliver_readings({sample(1, 3, 200)})) ==
                std::vector{refused(1, 3, RefusalReason::implausible_rate)}));
    head_end.add_meter(pi.id, pi.keys, 100);
    BOOST_TEST((pi.received(deliver_readings({sample(1, 3, 200)})) == std::vector{confirmation(1, 3, 3)}));
}

BOOST_FIXTURE_TEST_CASE(P6_a_conflict_is_refused_alarmed_and_never_confirmed, HeadEndWorld)
{
    (void)deliver_readings({sample(1, 1, 48)});
    const auto clone = deliver_readings({sample(1, 1, 49)});
    BOOST_TEST((pi.received(clone) == std::vector{refused(1, 1, RefusalReason::conflict)}));
    BOOST_TEST_REQUIRE(clone.alarms.size() == 1U);
    BOOST_TEST((clone.alarms[0].kind == EventKind::conflict));
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, 1, 48)));
}

BOOST_FIXTURE_TEST_CASE(P6_a_meter_whose_disk_was_an_older_copy_is_confirmed_and_alarmed, HeadEndWorld)
{
    (void)deliver_readings({sample(1, 1, 48)});
    Reading first = sample(2, 1, 48);
    first.events = static_cast<std::uint32_t>(MeterEvent::server_was_ahead);
    const auto result = deliver_readings({first});
    BOOST_TEST((pi.received(result) == std::vector{confirmation(2, 1, 1)}));
    BOOST_TEST_REQUIRE(result.alarms.size() == 1U);
    BOOST_TEST((result.alarms[0].kind == EventKind::clone));
    BOOST_TEST(deliver_readings({first, sample(2, 2, 49)}).alarms.empty());
}

BOOST_FIXTURE_TEST_CASE(D2_nothing_is_confirmed_when_the_ledger_fails, HeadEndWorld)
{
    struct Broken : Ledger {
        std::vector<Appended> append(std::span<const IncomingReading>, WallTime) override
        {
            throw std::runtime_error("disk full");
        }
        State state_for(const MeterId&, Source) override { return {}; }
        ClassicAppended append_total(const MeterId&, Pulses, WallTime, Delivery) override { return {}; }
        Pulses total_of(const MeterId&) override { return {}; }
        void record(const LedgerEvent&) override {}
    } broken;
    HeadEnd failing(broken, counted_iv);
    failing.add_meter(pi.id, pi.keys);
    const std::string token = pi.seal(sample(1, 1, 48));
    const Arrival arrival{pi.keys.up_topic, token, 1, false};
    BOOST_CHECK_THROW((void)failing.handle(std::span(&arrival, 1), noon), std::runtime_error);
}

BOOST_FIXTURE_TEST_CASE(each_meter_gets_its_own_confirmations, HeadEndWorld)
{
    const std::string mine = pi.seal(sample(1, 1, 48));
    const std::string theirs = other.seal(sample(7, 3, 5));
    const std::vector<Arrival> arrivals = {{pi.keys.up_topic, mine, 1, false},
                                           {other.keys.up_topic, theirs, 1, false}};
    const auto result = head_end.handle(arrivals, noon);
    BOOST_TEST((pi.received(result) == std::vector{confirmation(1, 1, 1)}));
    BOOST_TEST((other.received(result) == std::vector{confirmation(7, 3, 3)}));
}

BOOST_FIXTURE_TEST_CASE(a_meter_with_a_new_key_is_no_longer_heard_under_the_old_one, HeadEndWorld)
{
    Pi renewed("kitchen", 9);
    head_end.add_meter(renewed.id, renewed.keys);
    check_ignored(deliver({pi.seal(sample(1, 1, 48))}));
    const std::string token = renewed.seal(sample(1, 1, 48));
    const Arrival arrival{renewed.keys.up_topic, token, 1, false};
    BOOST_TEST((renewed.received(head_end.handle(std::span(&arrival, 1), noon)) ==
                std::vector{confirmation(1, 1, 1)}));
}

BOOST_FIXTURE_TEST_CASE(D3_every_message_several_times_in_any_order_and_all_is_confirmed, HeadEndWorld)
{
    std::mt19937_64 random(1966); // NOLINT(cert-msc32-c,cert-msc51-cpp): the same run each time
    constexpr std::uint64_t count = 300;
    std::vector<Reading> arriving;
    for (std::uint64_t sequence = 1; sequence <= count; ++sequence)
        arriving.insert(arriving.end(), 1 + random() % 5, sample(1, sequence, 7 * sequence));
    std::shuffle(arriving.begin(), arriving.end(), random);

    std::vector<bool> confirmed(count + 1);
    std::size_t admitted = 0;
    for (std::size_t at = 0; at < arriving.size(); at += 32) {
        const auto end = std::min(at + 32, arriving.size());
        const auto result = deliver_readings({arriving.begin() + static_cast<std::ptrdiff_t>(at),
                                              arriving.begin() + static_cast<std::ptrdiff_t>(end)});
        admitted += result.admitted.size();
        for (const DownMessage& message : pi.received(result)) {
            const auto& range = std::get<Confirmation>(message);
            for (std::uint64_t sequence = range.first.value; sequence <= range.last.value; ++sequence)
                confirmed.at(sequence) = true;
        }
        const auto stored = all_readings(ledger).size();
        BOOST_TEST(stored == admitted);
        BOOST_TEST(static_cast<std::size_t>(std::count(confirmed.begin(), confirmed.end(), true)) == stored);
    }
    BOOST_TEST(admitted == count);
    BOOST_TEST((ledger.summary(kitchen)->newest == sample(1, count, 7 * count)));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
