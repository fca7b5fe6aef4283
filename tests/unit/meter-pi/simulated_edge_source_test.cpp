#include "meter-pi/pulse_counter.hpp"
#include "meter-pi/simulated_edge_source.hpp"
#include "tests/unit/meter-pi/fake_time.hpp"

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;
using std::chrono::nanoseconds;

namespace {

class EvenLoad : public Load {
public:
    explicit EvenLoad(nanoseconds spacing) : spacing_(spacing) {}
    nanoseconds next_pulse() override { return time_ += spacing_; }

private:
    nanoseconds spacing_;
    nanoseconds time_{};
};

SimulatedEdgeSource even_source(FakeTime& time, nanoseconds spacing, std::uint32_t speed = 1)
{
    return {std::make_unique<EvenLoad>(spacing), SimulationClock(speed, time.real_time())};
}

} // namespace

BOOST_AUTO_TEST_SUITE(simulated_edge_source)

BOOST_AUTO_TEST_CASE(a_pulse_is_two_clean_edges_20_ms_apart)
{
    FakeTime time;
    const auto start = time.now;
    SimulatedEdgeSource source = even_source(time, 1s);
    BOOST_TEST((source.detection() == Detection::both_edges));
    BOOST_TEST((source.level_at_start() == Level::inactive));
    std::vector<Edge> edges;
    while (edges.size() < 4)
        for (const Edge& edge : source.await(10s))
            edges.push_back(edge);
    BOOST_REQUIRE_EQUAL(edges.size(), 4U);
    const std::vector<nanoseconds> times{1000ms, 1020ms, 2000ms, 2020ms};
    for (std::uint32_t i = 0; i < 4; ++i) {
        BOOST_TEST((edges[i].time == start + times[i]));
        BOOST_TEST((edges[i].level == (i % 2 == 0 ? Level::active : Level::inactive)));
        BOOST_TEST(edges[i].seqno == i + 1);
    }
}

BOOST_AUTO_TEST_CASE(pulses_are_half_their_spacing_at_most)
{
    FakeTime time;
    SimulatedEdgeSource source = even_source(time, 8ms);
    const auto rise = source.await(1s);
    const auto fall = source.await(1s);
    BOOST_REQUIRE_EQUAL(rise.size() + fall.size(), 2U);
    BOOST_TEST((fall[0].time - rise[0].time == 4ms));
}

BOOST_AUTO_TEST_CASE(it_wakes_once_an_edge_and_sleeps_no_longer_than_asked)
{
    FakeTime time;
    SimulatedEdgeSource source = even_source(time, 1s);
    const auto end = time.now + 100s;
    std::size_t edges = 0;
    while (time.now < end)
        edges += source.await(10s).size();
    BOOST_TEST(edges >= 199U);
    BOOST_TEST(time.sleeps <= 201);

    SimulatedEdgeSource idle = even_source(time, 1h);
    time.longest_sleep = 0ns;
    BOOST_TEST(idle.await(700ms).empty());
    BOOST_TEST((time.longest_sleep == 700ms));
}

BOOST_AUTO_TEST_CASE(the_clock_runs_as_fast_as_asked)
{
    FakeTime time;
    const auto start = time.now;
    SimulatedEdgeSource source = even_source(time, 1s, 1000);
    BOOST_TEST((source.now() == start));
    time.now += 1s;
    BOOST_TEST((source.now() == start + 1000s));
    std::size_t edges = 0;
    for (auto batch = source.await(0ms); !batch.empty(); batch = source.await(0ms))
        edges += batch.size();
    BOOST_TEST(edges == 2 * 999U + 1);
    BOOST_TEST(time.sleeps == 0);
    BOOST_TEST(source.await(1s).size() == 1U);
    BOOST_TEST((time.now == start + 1s + 20us));
}

BOOST_AUTO_TEST_CASE(a_late_reader_loses_nothing_and_gets_bounded_batches)
{
    FakeTime time;
    SimulatedEdgeSource source = even_source(time, 10ms);
    PulseCounter counter(source.detection(), source.level_at_start(),
                         default_filter(MeterConstant{1000}, 43));
    time.now += 1h;
    std::size_t batches = 0;
    for (auto batch = source.await(0ms); !batch.empty(); batch = source.await(0ms), ++batches) {
        BOOST_REQUIRE_LE(batch.size(), SimulatedEdgeSource::largest_batch);
        counter.add(batch);
    }
    BOOST_TEST(batches > 100U);
    BOOST_TEST(counter.quality().missed_edges == 0U);
}

BOOST_AUTO_TEST_CASE(the_counter_counts_exactly_what_the_models_bring)
{
    for (const std::uint32_t constant : {500U, 1000U, 10'000U}) {
        FakeTime time;
        SimulatedEdgeSource source(household_load(MeterConstant{constant}, 0h, 5),
                                   SimulationClock(100, time.real_time()));
        const auto plan = household_load(MeterConstant{constant}, 0h, 5);
        std::uint64_t planned = 0;
        while (plan->next_pulse() < 24h)
            ++planned;
        PulseCounter counter(source.detection(), source.level_at_start(),
                             default_filter(MeterConstant{constant}, 10));
        const auto end = source.now() + 24h;
        while (source.now() < end)
            counter.add(source.await(1s));
        BOOST_TEST(counter.pulses() + 1 >= planned);
        BOOST_TEST(counter.pulses() <= planned + 1);
        BOOST_TEST((counter.quality() == Quality{}));
    }
}

BOOST_AUTO_TEST_SUITE_END()
