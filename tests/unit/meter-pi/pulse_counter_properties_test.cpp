#include "meter-pi/pulse_counter.hpp"
#include "tests/unit/meter-pi/signal.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <limits>
#include <optional>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;

namespace {

// What a batch-wise reader may see: gaps, wrong labels and steps of any size.
std::vector<Edge> arbitrary_edges()
{
    std::vector<Edge> edges;
    std::int64_t time = 1;
    auto level = Level::inactive;
    std::uint32_t seqno = *rc::gen::element<std::uint32_t>(0, std::numeric_limits<std::uint32_t>::max() - 4);
    const auto steps = *rc::gen::container<std::vector<std::pair<int, int>>>(
        rc::gen::pair(rc::gen::inRange(0, 20'000), rc::gen::inRange(0, 40)));
    for (const auto& [microseconds, kind] : steps) {
        time += std::int64_t{microseconds} * 1000;
        if (kind != 0)
            level = level == Level::active ? Level::inactive : Level::active;
        seqno += kind == 1 ? 1 + static_cast<std::uint32_t>(microseconds % 7) : 1;
        edges.push_back({std::chrono::nanoseconds(time), level, seqno});
    }
    return edges;
}

struct Outcome {
    std::uint64_t pulses;
    Quality quality;
    std::optional<std::chrono::nanoseconds> last_pulse;
    std::optional<std::chrono::nanoseconds> last_spacing;
    bool operator==(const Outcome&) const = default;
};

Outcome outcome(const PulseCounter& counter)
{
    return {counter.pulses(), counter.quality(), counter.last_pulse(), counter.last_spacing()};
}

} // namespace

BOOST_AUTO_TEST_SUITE(pulse_counter)

BOOST_AUTO_TEST_CASE(property_any_split_into_batches_gives_the_same)
{
    BOOST_TEST(rc::check("any split of the edges gives the same counts", [] {
        const auto edges = arbitrary_edges();
        for (const auto detection : {Detection::both_edges, Detection::rising_only}) {
            PulseCounter whole(detection, Level::inactive, s0_filter);
            PulseCounter split(detection, Level::inactive, s0_filter);
            whole.add(edges);
            for (std::size_t done = 0; done < edges.size();) {
                const auto some = *rc::gen::inRange<std::size_t>(1, edges.size() - done + 1);
                split.add(std::span(edges).subspan(done, some));
                done += some;
            }
            RC_ASSERT(outcome(whole) == outcome(split));
        }
    }));
}

BOOST_AUTO_TEST_CASE(property_no_count_ever_falls_and_every_pulse_has_an_edge)
{
    BOOST_TEST(rc::check("counts grow only; pulses <= rising edges seen + lost + uncertain", [] {
        const auto start = *rc::gen::element(Level::inactive, Level::active);
        PulseCounter counter = raw_counter(s0_filter, start);
        std::uint64_t rising = 0;
        Outcome before = outcome(counter);
        for (const Edge& edge : arbitrary_edges()) {
            rising += edge.level == Level::active ? 1 : 0;
            counter.add({&edge, 1});
            const Outcome after = outcome(counter);
            RC_ASSERT(after.pulses >= before.pulses);
            RC_ASSERT(after.quality.glitches >= before.quality.glitches);
            RC_ASSERT(after.quality.missed_edges >= before.quality.missed_edges);
            RC_ASSERT(after.quality.uncertain >= before.quality.uncertain);
            RC_ASSERT(after.pulses <= rising + after.quality.missed_edges + after.quality.uncertain);
            before = after;
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
