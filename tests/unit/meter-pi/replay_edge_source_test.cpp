#include "meter-pi/replay_edge_source.hpp"
#include "shared/errors.hpp"
#include "tests/unit/meter-pi/fake_time.hpp"

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

using namespace pulsemeter;
using namespace pulsemeter::test;
using namespace std::chrono_literals;

namespace {

Trace two_pulses()
{
    return {.detection = Detection::both_edges,
            .level_at_start = Level::active,
            .edges = {{7s, Level::inactive, 1},
                      {8s, Level::active, 2},
                      {9s, Level::inactive, 3},
                      {9s, Level::active, 4}}};
}

class TemporaryFile {
public:
    explicit TemporaryFile(const std::string& content)
        : path_(std::filesystem::temp_directory_path() /
                ("pulsemeter-" + std::to_string(::getpid()) + ".trace"))
    {
        std::ofstream(path_) << content;
    }
    ~TemporaryFile() { std::filesystem::remove(path_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

std::string refusal(const std::filesystem::path& path)
{
    try {
        static_cast<void>(read_trace_file(path));
    } catch (const UsageError& error) {
        return error.what();
    }
    return "";
}

} // namespace

BOOST_AUTO_TEST_SUITE(replay_edge_source)

BOOST_AUTO_TEST_CASE(it_plays_in_the_trace_s_own_time)
{
    FakeTime time;
    const auto start = time.now;
    ReplayEdgeSource source(two_pulses(), 1, time.real_time());
    BOOST_TEST((source.level_at_start() == Level::active));
    BOOST_TEST((source.now() == 7s));
    const auto first = source.await(10s);
    BOOST_REQUIRE_EQUAL(first.size(), 1U);
    BOOST_TEST((first[0].time == 7s && first[0].seqno == 1));
    BOOST_TEST((time.now == start));
    BOOST_TEST(source.await(400ms).empty());
    BOOST_TEST((time.now == start + 400ms));
    BOOST_TEST(source.await(10s).size() == 1U);
    BOOST_TEST((time.now == start + 1s));
    BOOST_TEST(source.await(10s).size() == 2U);
    BOOST_TEST((source.now() == 9s));
}

BOOST_AUTO_TEST_CASE(it_plays_faster_if_asked)
{
    FakeTime time;
    const auto start = time.now;
    ReplayEdgeSource source(two_pulses(), 100, time.real_time());
    std::size_t edges = 0;
    while (edges < 4)
        edges += source.await(10s).size();
    BOOST_TEST((time.now == start + 20ms));
    BOOST_TEST((source.now() == 9s));
}

BOOST_AUTO_TEST_CASE(after_the_last_edge_it_is_silent_and_its_clock_goes_on)
{
    FakeTime time;
    ReplayEdgeSource source(two_pulses(), 1, time.real_time());
    time.now += 100s;
    BOOST_TEST(source.await(1s).size() == 4U);
    const int sleeps = time.sleeps;
    BOOST_TEST(source.await(1s).empty());
    BOOST_TEST(source.await(1s).empty());
    BOOST_TEST(time.sleeps == sleeps + 2);
    BOOST_TEST((source.now() == 109s));

    ReplayEdgeSource empty(Trace{}, 1000, time.real_time());
    BOOST_TEST(empty.await(1s).empty());
}

BOOST_AUTO_TEST_CASE(a_late_reader_gets_bounded_batches)
{
    Trace trace;
    for (std::uint32_t i = 1; i <= 5000; ++i)
        trace.edges.push_back(
            {std::chrono::milliseconds(i), i % 2 == 1 ? Level::active : Level::inactive, i});
    FakeTime time;
    ReplayEdgeSource source(trace, 1, time.real_time());
    time.now += 1h;
    std::size_t edges = 0;
    for (auto batch = source.await(0ms); !batch.empty(); batch = source.await(0ms)) {
        BOOST_REQUIRE_LE(batch.size(), ReplayEdgeSource::largest_batch);
        edges += batch.size();
    }
    BOOST_TEST(edges == 5000U);
}

BOOST_AUTO_TEST_CASE(a_file_that_is_no_trace_is_refused_by_name_and_line)
{
    const TemporaryFile good("# pulsemeter trace 1\n1 1 1\n");
    BOOST_TEST(read_trace_file(good.path()).edges.size() == 1U);
    const TemporaryFile bad("# pulsemeter trace 1\n1 1 1\n1 7 2\n");
    BOOST_TEST(refusal(bad.path()) == bad.path().string() + ":3: the level is neither 0 nor 1");
    BOOST_TEST(refusal("/nonexistent.trace").starts_with("/nonexistent.trace: no such trace file"));
    BOOST_TEST(refusal("/tmp") == "/tmp: is no regular file: name the trace itself");
}

BOOST_AUTO_TEST_SUITE_END()
