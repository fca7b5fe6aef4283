// D5: a day and a month without a network. What the outbox keeps, and how it is caught up with: in messages and round
// trips, not in time.
#define BOOST_TEST_MODULE outage
#include "tests/sim/machines.hpp"
#include "tests/unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <optional>

using namespace pulsemeter;
using namespace pulsemeter::sim;
using namespace std::chrono_literals;

namespace {

// The meters' lines of a month are of no interest.
struct Quiet {
    Quiet()
    {
        boost::unit_test::unit_test_log.set_stream(std::cerr);
        BOOST_TEST_REQUIRE(std::freopen("/dev/null", "w", stdout) != nullptr);
    }
};

// Two meters; the outage is so long for one of them only.
struct Outage {
    std::chrono::seconds interval = 10s;
    std::size_t outbox_limit = SqliteMeterStore::default_outbox_limit;
    static constexpr auto round_trip = 50ms; // to a broker on the Internet

    TemporaryFolder folder;
    Clocks clocks;
    Broker broker{1};
    Witness witness;
    MeterId hall = *MeterId::parse("hall");
    MeterId cellar = *MeterId::parse("cellar");
    MeterMachine cut_off{hall,    folder.path() / "hall",
                         clocks,  broker,
                         witness, {.interval = interval, .outbox_limit = outbox_limit},
                         1};
    MeterMachine other{cellar, folder.path() / "cellar", clocks, broker, witness, {.interval = interval}, 2};
    ServerMachine server{folder.path() / "server",
                         clocks,
                         broker,
                         witness,
                         {{hall, cut_off.keys()}, {cellar, other.keys()}},
                         3};
    std::size_t messages = 0; // of the meter that was cut off, upward
    std::size_t most_at_once = 0;

    Outage() : Outage(10s, SqliteMeterStore::default_outbox_limit) {}
    Outage(std::chrono::seconds every, std::size_t limit) : interval(every), outbox_limit(limit)
    {
        witness.pulses(hall, Source::measured, 0);
        witness.pulses(cellar, Source::measured, 0);
        for (MeterMachine* meter : {&cut_off, &other}) {
            meter->fit_sensor();
            meter->start();
        }
        server.most = Server::usual; // the worlds' small ones lose what a window as wide as this brings
        server.start();
        for (int trip = 0; trip < 1'000 && !(is_equal(cut_off) && is_equal(other)); ++trip)
            take_round_trip();
        BOOST_TEST_REQUIRE(is_equal(cut_off));
        messages = most_at_once = 0;
    }

    void pass(std::chrono::milliseconds time)
    {
        const auto second = clocks.now.time_since_epoch() / 1s;
        clocks.pass(time);
        if (clocks.now.time_since_epoch() / 1s == second)
            return;
        cut_off.flash(1);
        other.flash(1);
    }

    void take_round_trip()
    {
        pass(round_trip);
        cut_off.turn();
        other.turn();
        std::size_t sent = 0;
        for (const Parcel& parcel : broker.on_the_way)
            sent += parcel.topic == cut_off.keys().up_topic ? 1U : 0U;
        messages += sent;
        most_at_once = std::max(most_at_once, sent);
        broker.deliver_all();
        server.turn();
        broker.deliver_all();
    }

    // Nothing else happens meanwhile, so that a month takes a moment.
    void stay_away(std::chrono::hours time)
    {
        broker.is_up = false;
        broker.disconnect_all();
        for (const SteadyTime end = clocks.now + time; clocks.now < end; pass(interval)) {
            cut_off.turn();
        }
        broker.is_up = true;
    }

    [[nodiscard]] bool is_equal(MeterMachine& meter)
    {
        const auto stored = meter.store().load(Source::measured);
        return stored && stored->epoch.value != 0 && stored->last.value > 1 &&
               server.ledger().state_for(meter.id(), Source::measured).total == stored->total;
    }
    // Until each of them is in the ledger, and then off the meter's disk too. Meanwhile neither live readings nor the other
    // meter may wait for the backlog.
    void catch_up(const std::vector<Reading>& backlog)
    {
        const SteadyTime begin = clocks.now;
        std::size_t trips = 0;
        std::size_t trips_of_backlog = 0;
        std::size_t messages_of_backlog = 0;
        std::size_t late = 0;
        std::size_t late_other = 0;
        std::optional<std::chrono::milliseconds> healed;
        bool healed_other = false;
        for (auto missing = backlog.begin(); missing != backlog.end() || !healed_other; ++trips) {
            BOOST_TEST_REQUIRE(trips < backlog.size() / SendWindow::widest + 400);
            take_round_trip();
            while (missing != backlog.end() && witness.is_counted(hall, *missing)) {
                ++missing;
                trips_of_backlog = trips + 1;
                messages_of_backlog = messages;
            }
            const bool equal = is_equal(cut_off);
            if (!healed && equal)
                healed = std::chrono::ceil<std::chrono::milliseconds>(clocks.now - begin);
            late += healed && !equal ? 1U : 0U;
            const bool equal_other = is_equal(other);
            healed_other = healed_other || equal_other;
            late_other += healed_other && !equal_other ? 1U : 0U;
        }
        BOOST_TEST_REQUIRE(healed.has_value());
        BOOST_TEST_MESSAGE("backlog " << backlog.size() << ": totals equal after " << healed->count()
                                      << " ms, caught up after " << trips_of_backlog << " round trips with "
                                      << messages_of_backlog << " messages");
        BOOST_TEST((*healed <= 2 * interval + 5s)); // and the bus's own pause
        BOOST_TEST(late == 0U);
        BOOST_TEST(late_other == 0U);
        BOOST_TEST(messages_of_backlog <= backlog.size() + backlog.size() / 20 + 50);
        // The widest window's trips, and what it takes to be connected and to come up to it.
        BOOST_TEST(trips_of_backlog <= backlog.size() / SendWindow::widest + 80);
        BOOST_TEST(most_at_once <= SendWindow::widest + 2);
        for (const SteadyTime end = clocks.now + 2 * interval; clocks.now < end;)
            take_round_trip();
        BOOST_TEST(cut_off.store().outbox_size() <= 2U);
    }
};

// A month is 2.7 times what the outbox takes; with fewer readings in the same proportion it is quick to live through.
struct LongOutage : Outage {
    explicit LongOutage(std::size_t times)
        : Outage(10s * times, SqliteMeterStore::default_outbox_limit / times)
    {
    }

    void run()
    {
        stay_away(31 * 24h);
        const std::vector<Reading> waiting = cut_off.store().outbox({}, 1'000'000);
        BOOST_TEST(waiting.size() <= outbox_limit);
        BOOST_TEST(waiting.size() > outbox_limit / 10 * 9);
        BOOST_TEST(waiting.front().sequence.value <= 16U); // from the beginning of the outage

        std::chrono::milliseconds longest{};
        for (std::size_t place = 1; place < waiting.size(); ++place)
            longest = std::max(longest, waiting[place].uptime - waiting[place - 1].uptime);
        const std::size_t whole = waiting.size() / 3; // the newest of them are as they were taken
        BOOST_TEST(waiting.back().sequence.value - waiting[waiting.size() - whole].sequence.value ==
                   whole - 1);
        BOOST_TEST_MESSAGE("thinned to " << waiting.size() << " readings, at most " << longest / 1s
                                         << " s apart");
        BOOST_TEST((longest <= 8 * interval)); // so that time-of-use prices still find their hours

        std::size_t bytes = 0;
        cut_off.kill();
        cut_off.clean_up_after_cut();
        for (const auto& [name, content] : cut_off.image())
            bytes += content.size();
        BOOST_TEST_MESSAGE("on the disk: " << bytes / 1024 << " KiB");
        BOOST_TEST(bytes < 32U * 1024 * 1024);
        cut_off.start();
        catch_up(waiting);
    }
};

} // namespace

BOOST_TEST_GLOBAL_FIXTURE(Quiet);

BOOST_FIXTURE_TEST_CASE(D5_a_day_without_a_network_is_caught_up_with_and_nothing_of_it_is_lost, Outage)
{
    stay_away(24h);
    const std::vector<Reading> waiting = cut_off.store().outbox({}, 1'000'000);
    BOOST_TEST(waiting.size() >= 8'639U);
    BOOST_TEST(waiting.back().sequence.value - waiting.front().sequence.value == waiting.size() - 1);
    catch_up(waiting);
}

BOOST_AUTO_TEST_CASE(D5_a_month_without_a_network_is_bounded_thinned_and_caught_up_with)
{
    LongOutage(20).run();
}

// A minute or two, and so asked for by name: --run_test=@long
BOOST_AUTO_TEST_CASE(D5_a_month_of_readings_every_10_s_is_bounded_thinned_and_caught_up_with,
                     *boost::unit_test::disabled() * boost::unit_test::label("long"))
{
    LongOutage(1).run();
}
