#include "meter-pi/classic_uplink.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

using Answer = ClassicUplink::Answer;
constexpr SteadyTime start{1h};

StoredRegister stored(std::uint32_t epoch, std::uint64_t total)
{
    StoredRegister made;
    made.epoch = Epoch{epoch};
    made.last = Sequence{epoch == 0 ? 0U : 7U};
    made.total = Pulses{total};
    made.numbered = Pulses{epoch == 0 ? 0U : total};
    return made;
}

// One that has listened and sent 100.
struct Sending {
    ClassicUplink uplink{3s, 1};
    SteadyTime now = start;

    Sending()
    {
        uplink.connected(now);
        now += 5s;
        uplink.sent(Pulses{100}, now);
    }
    Answer answered(std::uint64_t total) { return uplink.answered(Pulses{total}, now); }
};

} // namespace

BOOST_AUTO_TEST_SUITE(classic_uplink)

BOOST_AUTO_TEST_CASE(a_start_listens_five_seconds_and_takes_the_largest)
{
    ClassicUplink uplink(3s, 1);
    BOOST_TEST((uplink.next_deadline() == SteadyTime::max()));
    uplink.connected(start);
    uplink.retained(Pulses{48});
    BOOST_TEST((uplink.answered(Pulses{40}, start + 1s) == Answer::noted));
    BOOST_TEST(uplink.heard().value == 48U);
    BOOST_TEST((uplink.answered(Pulses{50}, start + 2s) == Answer::noted));
    BOOST_TEST(uplink.heard().value == 50U);
    BOOST_TEST(!uplink.reading_due(start + 4999ms));
    BOOST_TEST((uplink.next_deadline() == start + 5s));
    BOOST_TEST(uplink.reading_due(start + 5s));
}

BOOST_AUTO_TEST_CASE(D6_a_connection_lost_while_listening_listens_anew)
{
    ClassicUplink uplink(3s, 1);
    uplink.connected(start);
    uplink.disconnected();
    BOOST_TEST(!uplink.reading_due(start + 1h));
    uplink.connected(start + 1h);
    BOOST_TEST(!uplink.reading_due(start + 1h));
    BOOST_TEST(uplink.reading_due(start + 1h + 5s));
}

BOOST_AUTO_TEST_CASE(a_confirmation_lets_the_next_reading_be_made_after_the_pause)
{
    Sending meter;
    BOOST_TEST(!meter.uplink.reading_due(meter.now + 4s));
    BOOST_TEST((meter.answered(100) == Answer::confirmed));
    BOOST_TEST(!meter.uplink.reading_due(meter.now + 2999ms));
    BOOST_TEST(meter.uplink.reading_due(meter.now + 3s));
}

BOOST_AUTO_TEST_CASE(B2_doubled_and_late_confirmations_start_no_second_loop)
{
    Sending meter;
    BOOST_TEST((meter.answered(100) == Answer::confirmed));
    const SteadyTime due = meter.uplink.next_deadline();
    for (int again = 0; again < 40; ++again) {
        meter.now += 50ms;
        BOOST_TEST((meter.answered(100) == Answer::stale));
    }
    BOOST_TEST((meter.uplink.next_deadline() == due));
    meter.now = due;
    meter.uplink.sent(Pulses{105}, meter.now);
    const SteadyTime resend = meter.uplink.next_deadline();
    BOOST_TEST((meter.answered(100) == Answer::stale)); // of the reading before
    BOOST_TEST((meter.uplink.next_deadline() == resend));
}

BOOST_AUTO_TEST_CASE(D6_what_is_not_confirmed_is_sent_again)
{
    Sending meter;
    BOOST_TEST(!meter.uplink.reading_due(meter.now + 4s));
    for (int again = 0; again < 10; ++again) {
        meter.now += 60s;
        BOOST_TEST(meter.uplink.reading_due(meter.now));
        meter.uplink.sent(Pulses{100}, meter.now);
        BOOST_TEST(!meter.uplink.reading_due(meter.now + 4s));
    }
}

BOOST_AUTO_TEST_CASE(D4_a_new_connection_sends_at_once_for_the_broker_may_have_forgotten)
{
    Sending meter;
    (void)meter.answered(100);
    meter.uplink.disconnected();
    BOOST_TEST(!meter.uplink.reading_due(meter.now + 1h));
    meter.uplink.connected(meter.now);
    BOOST_TEST(meter.uplink.reading_due(meter.now));
}

BOOST_AUTO_TEST_CASE(a_server_that_knows_more_raises_only_what_it_has_not_confirmed)
{
    Sending meter;
    BOOST_TEST((meter.answered(500) == Answer::raised));
    BOOST_TEST(meter.uplink.heard().value == 500U);
    BOOST_TEST(meter.uplink.reading_due(meter.now));
    meter.uplink.sent(Pulses{500}, meter.now);
    BOOST_TEST((meter.answered(500) == Answer::confirmed));
    BOOST_TEST((meter.answered(900) == Answer::beyond));
    BOOST_TEST(meter.uplink.heard().value == 500U);
}

BOOST_AUTO_TEST_CASE(the_retained_reading_is_only_heard_at_the_start)
{
    Sending meter;
    meter.uplink.retained(Pulses{500}); // after a reconnect: our own, or someone else's
    BOOST_TEST(meter.uplink.heard().value == 0U);
}

BOOST_AUTO_TEST_CASE(what_was_put_right_on_the_broker_is_heard_at_any_time)
{
    Sending meter;
    meter.uplink.put_right(Pulses{500});
    BOOST_TEST(meter.uplink.heard().value == 500U);
    meter.uplink.put_right(Pulses{400});
    BOOST_TEST(meter.uplink.heard().value == 500U);
}

BOOST_AUTO_TEST_CASE(P4_a_disk_that_fails_is_tried_again)
{
    Sending meter;
    (void)meter.answered(100);
    meter.now += 3s;
    meter.uplink.postpone(meter.now);
    BOOST_TEST(!meter.uplink.reading_due(meter.now));
    BOOST_TEST(meter.uplink.reading_due(meter.now + 5s));
}

BOOST_AUTO_TEST_CASE(C5_a_fresh_register_counts_on_top_of_what_was_heard)
{
    ClassicRegister fresh(stored(0, 4)); // 4 pulses before its first reading
    fresh.count(3, {});
    BOOST_TEST(fresh.now().total.value == 7U);
    fresh.taken(fresh.to_save());
    BOOST_TEST(fresh.now().epoch.value == 0U); // the next start is to find them on top of what it hears, too
    fresh.go_on_from(Pulses{100});
    BOOST_TEST(fresh.now().total.value == 107U);
    fresh.taken(fresh.to_save());
    BOOST_TEST(fresh.now().epoch.value == 1U);
    BOOST_TEST(fresh.now().last.value == 1U);
    fresh.go_on_from(Pulses{500}); // the server, which had not been heard in time
    fresh.count(5, {});
    BOOST_TEST(fresh.now().total.value == 509U);
}

BOOST_AUTO_TEST_CASE(C5_a_register_with_a_disk_takes_the_larger)
{
    ClassicRegister behind(stored(1, 100));
    behind.count(2, {});
    behind.go_on_from(Pulses{150});
    BOOST_TEST(behind.now().total.value == 152U);
    ClassicRegister ahead(stored(1, 100));
    ahead.count(2, {});
    ahead.go_on_from(Pulses{50});
    BOOST_TEST(ahead.now().total.value == 102U);
}

BOOST_AUTO_TEST_CASE(a_total_that_is_sent_again_is_the_same_reading)
{
    ClassicRegister meter(stored(1, 100));
    BOOST_TEST((meter.to_save() == stored(1, 100)));
    meter.count(1, {});
    BOOST_TEST(meter.to_save().last.value == 8U);
    BOOST_TEST(meter.to_save().numbered.value == 101U);
}

BOOST_AUTO_TEST_CASE(what_was_not_sent_needs_no_number_of_its_own)
{
    ClassicRegister meter(stored(1, 100));
    for (std::uint64_t pulses = 1; pulses < 4; ++pulses) {
        meter.count(pulses, {});
        meter.taken(meter.to_save());
        BOOST_TEST(meter.now().last.value == 8U);
        BOOST_TEST(meter.now().numbered.value == 100U + pulses);
    }
    meter.sent();
    BOOST_TEST((meter.to_save() == meter.now()));
    meter.count(4, {});
    BOOST_TEST(meter.to_save().last.value == 9U);
}

BOOST_AUTO_TEST_CASE(C5_property_whatever_is_heard_the_total_never_falls_and_covers_it)
{
    BOOST_TEST(rc::check(
        [](bool fresh, std::uint32_t base, const std::vector<std::pair<bool, std::uint64_t>>& steps) {
            ClassicRegister meter(stored(fresh ? 0 : 1, base));
            std::uint64_t pulses = 0;
            for (const auto& [counts, number] : steps) {
                const Pulses before = meter.now().total;
                const Pulses heard{number % (ClassicRegister::most_believed.value + 1)};
                if (counts) {
                    pulses += number % 10;
                    meter.count(pulses, {});
                } else {
                    meter.go_on_from(heard);
                    RC_ASSERT(meter.now().total >= heard);
                }
                meter.taken(meter.to_save());
                RC_ASSERT(meter.now().total >= before);
                if (meter.now().epoch.value != 0) {
                    RC_ASSERT(meter.now().total == meter.now().numbered);
                }
            }
        }));
}

// A lossy, doubling, late channel to a server that confirms each reading that it gets: never more than one reading a
// pause, and the totals never fall.
BOOST_AUTO_TEST_CASE(B2_property_never_two_loops)
{
    BOOST_TEST(rc::check([](const std::vector<std::uint8_t>& fates) {
        ClassicUplink uplink(3s, 1);
        SteadyTime now = start;
        uplink.connected(now);
        std::multimap<SteadyTime, Pulses> under_way;
        std::uint64_t total = 0;
        std::size_t sent = 0;
        std::size_t confirmed = 0;
        for (const std::uint8_t fate : fates) {
            now += 500ms;
            for (; !under_way.empty() && under_way.begin()->first <= now; under_way.erase(under_way.begin()))
                confirmed += uplink.answered(under_way.begin()->second, now) == Answer::confirmed ? 1U : 0U;
            if (!uplink.reading_due(now))
                continue;
            total += fate % 10;
            for (int copies = fate % 4; copies > 0; --copies)
                under_way.emplace(now + std::chrono::milliseconds(fate * copies * 20), Pulses{total});
            uplink.sent(Pulses{total}, now);
            ++sent;
        }
        const auto elapsed = now - start;
        RC_ASSERT(sent <= static_cast<std::size_t>(elapsed / 3s) + 1);
        RC_ASSERT(confirmed <= sent);
    }));
}

BOOST_AUTO_TEST_SUITE_END()
