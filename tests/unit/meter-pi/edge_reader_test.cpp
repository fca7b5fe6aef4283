// EdgeReader: counts on a thread of its own, says so when the sensor is gone, and never dies silently.
#include "meter-pi/edge_reader.hpp"
#include "meter-pi/simulation_clock.hpp"

#include <boost/test/unit_test.hpp>

#include <deque>
#include <future>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

// Hands out what it was given, a batch a call; then waiting does `at_end`.
class ScriptedSource : public EdgeSource {
public:
    ScriptedSource(std::deque<std::vector<Edge>> batches, std::function<void()> at_end)
        : batches_(std::move(batches)), at_end_(std::move(at_end))
    {
    }
    [[nodiscard]] Detection detection() const override { return Detection::both_edges; }
    [[nodiscard]] Level level_at_start() const override { return Level::inactive; }
    void wait(std::chrono::milliseconds, const std::stop_token&) override
    {
        if (left_ == 0)
            at_end_();
    }
    [[nodiscard]] std::vector<Edge> read() override
    {
        if (batches_.empty())
            return {};
        const auto batch = batches_.front();
        batches_.pop_front();
        left_ = batches_.size();
        return batch;
    }
    [[nodiscard]] std::chrono::nanoseconds now() const override { return 10s; }

private:
    std::deque<std::vector<Edge>> batches_;
    std::function<void()> at_end_;
    std::atomic<std::size_t> left_ = batches_.size();
};

// Hands out what was put in, as batches of the kernel's size; waiting does `waited`.
class PendingSource : public EdgeSource {
public:
    explicit PendingSource(std::function<void()> waited) : waited_(std::move(waited)) {}
    void put(std::span<const Edge> edges) { edges_.insert(edges_.end(), edges.begin(), edges.end()); }
    [[nodiscard]] Detection detection() const override { return Detection::both_edges; }
    [[nodiscard]] Level level_at_start() const override { return Level::inactive; }
    void wait(std::chrono::milliseconds, const std::stop_token&) override { waited_(); }
    [[nodiscard]] std::vector<Edge> read() override
    {
        const auto end = edges_.begin() + static_cast<std::ptrdiff_t>(std::min(edges_.size(), largest_batch));
        std::vector<Edge> batch(edges_.begin(), end);
        edges_.erase(edges_.begin(), end);
        return batch;
    }
    [[nodiscard]] std::chrono::nanoseconds now() const override { return 100s; }

private:
    std::function<void()> waited_;
    std::deque<Edge> edges_;
};

std::vector<Edge> pulse(std::chrono::nanoseconds start, std::uint32_t first_seqno)
{
    return {{start, Level::active, first_seqno}, {start + 20ms, Level::inactive, first_seqno + 1}};
}

constexpr PulseFilter filter{1ms, 8ms};
constexpr MeterConstant constant{1000};
constexpr auto turn = 2s;

void idle()
{
    std::this_thread::sleep_for(1ms);
}

// The tally once `wanted` holds; the test's own time limit ends what never does.
template <typename Wanted>
Tally wait_for(EdgeReader& reader, const Wanted& wanted)
{
    for (;;) {
        const Tally tally = reader.tally();
        if (wanted(tally))
            return tally;
        idle();
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(edge_reader)

BOOST_AUTO_TEST_CASE(tells_pulses_and_the_power_of_their_spacing)
{
    auto source = std::make_unique<ScriptedSource>(std::deque{pulse(7s, 1), pulse(9s, 3)}, idle);
    EdgeReader reader(
        std::move(source), "", [] { return nullptr; }, filter, constant, turn);
    const Tally tally = wait_for(reader, [](const Tally& now) { return now.pulses == 2; });
    BOOST_TEST(tally.sensor_trouble.empty());
    BOOST_REQUIRE(tally.power.has_value());
    BOOST_TEST(tally.power->value == 1'800'000U); // a Wh in 2 s
}

BOOST_AUTO_TEST_CASE(C7_a_sensor_that_is_gone_is_said_and_taken_again_with_the_counts_kept)
{
    const auto gone = [] { throw SensorMissing("the chip was unplugged"); };
    auto first = std::make_unique<ScriptedSource>(std::deque{pulse(7s, 1)}, gone);
    std::promise<void> may_return;
    const auto open = [&, allowed = may_return.get_future().share()]() -> std::unique_ptr<EdgeSource> {
        if (allowed.wait_for(0s) != std::future_status::ready)
            throw SensorMissing("still unplugged");
        return std::make_unique<ScriptedSource>(std::deque{pulse(1s, 1), pulse(3s, 3)}, idle);
    };
    EdgeReader reader(std::move(first), "", open, filter, constant, turn);
    const Tally missing = wait_for(reader, [](const Tally& now) { return !now.sensor_trouble.empty(); });
    BOOST_TEST(missing.pulses == 1U);
    BOOST_TEST(!missing.power.has_value());
    may_return.set_value();
    const Tally back = wait_for(reader, [](const Tally& now) { return now.pulses == 3; });
    BOOST_TEST(back.sensor_trouble.empty());
}

BOOST_AUTO_TEST_CASE(H2_the_thread_turns_without_edges_and_without_a_sensor_and_not_when_it_hangs)
{
    std::promise<void> may_go_on;
    std::atomic<bool> hangs = false;
    const auto hang = [&, allowed = may_go_on.get_future().share()] {
        hangs = true;
        allowed.wait();
        idle();
    };
    int quiet_reads = 3;
    auto source = std::make_unique<ScriptedSource>(std::deque<std::vector<Edge>>{}, [&] {
        if (quiet_reads-- == 0)
            hang();
    });
    EdgeReader reader(
        std::move(source), "", [] { return nullptr; }, filter, constant, turn);
    while (!hangs)
        idle();
    BOOST_TEST(reader.turns() == 3U); // quiet ones
    may_go_on.set_value();
    while (reader.turns() <= 4U)
        idle();

    const auto refuse = []() -> std::unique_ptr<EdgeSource> { throw SensorMissing("unplugged"); };
    const EdgeReader without_sensor(nullptr, "unplugged", refuse, filter, constant, turn);
    while (without_sensor.turns() == 0)
        idle();
}

BOOST_AUTO_TEST_CASE(any_other_end_of_the_thread_is_thrown_to_the_loop)
{
    auto source = std::make_unique<ScriptedSource>(std::deque{pulse(7s, 1)},
                                                   [] { throw std::runtime_error("the kernel said no"); });
    EdgeReader reader(
        std::move(source), "", [] { return nullptr; }, filter, constant, turn);
    BOOST_CHECK_EXCEPTION(
        (void)wait_for(reader, [](const Tally&) { return false; }), std::runtime_error,
        [](const std::runtime_error& error) { return error.what() == std::string("the kernel said no"); });
}

BOOST_AUTO_TEST_CASE(C2_a_tally_has_every_edge_that_is_there_though_the_thread_has_not_come_round)
{
    std::promise<void> held_up;
    std::promise<void> may_go_on;
    const auto hold_up = [&, allowed = may_go_on.get_future().share(), first = true]() mutable {
        if (std::exchange(first, false))
            held_up.set_value();
        allowed.wait();
        idle();
    };
    auto source = std::make_unique<PendingSource>(hold_up);
    PendingSource& line = *source;
    EdgeReader reader(
        std::move(source), "", [] { return nullptr; }, filter, constant, turn);
    held_up.get_future().wait();
    std::vector<Edge> edges;
    for (std::uint32_t pulses = 0; pulses < 2'000; ++pulses)
        for (const Edge& edge : pulse(pulses * 40ms, 2 * pulses + 1))
            edges.push_back(edge);
    line.put(edges);
    const Tally tally = reader.tally();
    BOOST_TEST(tally.pulses == 2'000U);
    BOOST_TEST(tally.power.has_value());
    may_go_on.set_value();
}

BOOST_AUTO_TEST_CASE(it_ends_at_once_though_nothing_comes)
{
    class Quiet : public PendingSource {
    public:
        Quiet(std::atomic<bool>& waits, std::atomic<bool>& stopped)
            : PendingSource([] {}), waits_(waits), stopped_(stopped)
        {
        }
        void wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override
        {
            waits_ = true;
            RealTime::of_this_machine().sleep(timeout, stop);
            stopped_ = stop.stop_requested();
        }

    private:
        std::atomic<bool>& waits_;
        std::atomic<bool>& stopped_;
    };
    std::atomic<bool> waits = false;
    std::atomic<bool> stopped = false;
    {
        const EdgeReader reader(
            std::make_unique<Quiet>(waits, stopped), "", [] { return nullptr; }, filter, constant, 1h);
        while (!waits)
            idle();
    }
    BOOST_TEST(stopped); // else the hour would have passed
}

BOOST_AUTO_TEST_SUITE_END()
