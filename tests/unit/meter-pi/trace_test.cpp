#include "meter-pi/pulse_counter.hpp"
#include "meter-pi/replay_edge_source.hpp"
#include "meter-pi/trace.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

using namespace pulsemeter;
using namespace std::chrono_literals;
namespace data = boost::unit_test::data;

namespace {

const std::string head = "# pulsemeter trace 1\n";

struct BadTrace {
    std::string text;
    std::size_t line;
};
std::ostream& operator<<(std::ostream& out, const BadTrace& bad)
{
    return out << '"' << bad.text << '"';
}

const std::vector<BadTrace> bad_traces{
    {"", 1},
    {"\n", 1},
    {"1 1 1\n", 1},
    {"# pulsemeter trace 2\n", 1},
    {"# pulsemeter trace 1", 1},
    {"# pulsemeter trace 1\r\n", 1},
    {head + "1 1 1", 2},
    {head + "\n", 2},
    {head + "1 1 1\n\n", 3},
    {head + "1 1\n", 2},
    {head + "1  1 1\n", 2},
    {head + "1 1 1 \n", 2},
    {head + "1 1 1 1\n", 2},
    {head + " 1 1 1\n", 2},
    {head + "1 1 1\r\n", 2},
    {head + "1\t1 1\n", 2},
    {head + "-1 1 1\n", 2},
    {head + "1 2 1\n", 2},
    {head + "1 -1 1\n", 2},
    {head + "1 1 -1\n", 2},
    {head + "1 1 +1\n", 2},
    {head + "1 1 1x\n", 2},
    {head + "1.5 1 1\n", 2},
    {head + "4611686018427387904 1 1\n", 2},
    {head + "99999999999999999999999 1 1\n", 2},
    {head + "1 1 4294967296\n", 2},
    {head + "1 1 0\n", 2},
    {head + "1 1 2147483648\n", 2},
    {head + "1 1 5\n2 0 5\n", 3},
    {head + "1 1 5\n2 0 4\n", 3},
    {head + "2 1 1\n1 0 2\n", 3},
    {head + "start up\n", 2},
    {head + "start  active\n", 2},
    {head + "1 1 1\nstart active\n", 3},
    {head + "detection all\n", 2},
    {head + "end\n", 2},
    {head + std::string("1 1 1\0\n", 7), 2},
};

// The "# expect key=value …" comment of a trace in tests/traces.
std::map<std::string, std::uint64_t> expectations(const std::filesystem::path& path)
{
    std::ifstream file(path);
    std::map<std::string, std::uint64_t> expected;
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("# expect "))
            continue;
        std::istringstream words(line.substr(9));
        for (std::string word; words >> word;)
            expected[word.substr(0, word.find('='))] = std::stoull(word.substr(word.find('=') + 1));
    }
    return expected;
}

} // namespace

BOOST_AUTO_TEST_SUITE(trace)

BOOST_AUTO_TEST_CASE(a_trace_is_read)
{
    const auto trace =
        parse_trace(head + "# by hand\nstart active\ndetection rising_only\n5 0 1\n# and\n5 1 4294967295\n");
    BOOST_TEST(!trace.has_value()); // 1 to 2^32−1 is a step back
    const auto good =
        parse_trace(head + "# by hand\nstart active\ndetection rising_only\n0 0 3\n# and\n"
                           "4611686018427387903 1 2147483649\n4611686018427387903 0 4294967295\n"
                           "4611686018427387903 1 1\n");
    BOOST_REQUIRE(good.has_value());
    BOOST_TEST((good->detection == Detection::rising_only));
    BOOST_TEST((good->level_at_start == Level::active));
    BOOST_REQUIRE_EQUAL(good->edges.size(), 4U);
    BOOST_TEST(
        (good->edges[0].time == 0ns && good->edges[0].level == Level::inactive && good->edges[0].seqno == 3));
    BOOST_TEST((good->edges[1].level == Level::active));
    BOOST_TEST(good->edges[3].seqno == 1U);
}

BOOST_AUTO_TEST_CASE(without_settings_and_edges_it_is_a_silent_raw_line)
{
    const auto trace = parse_trace(head);
    BOOST_REQUIRE(trace.has_value());
    BOOST_TEST((trace->detection == Detection::both_edges));
    BOOST_TEST((trace->level_at_start == Level::inactive));
    BOOST_TEST(trace->edges.empty());
}

BOOST_DATA_TEST_CASE(I1_what_is_not_in_form_is_refused_with_its_line, data::make(bad_traces), bad)
{
    const auto trace = parse_trace(bad.text);
    BOOST_REQUIRE(!trace.has_value());
    BOOST_TEST(trace.error().line == bad.line, trace.error().message);
    BOOST_TEST(!trace.error().message.empty());
}

BOOST_AUTO_TEST_CASE(I1_a_trace_that_is_too_large_is_refused)
{
    std::string text = head + std::string(largest_trace - head.size() - 1, '#') + "\n";
    BOOST_TEST(parse_trace(text).has_value());
    text += "#";
    const auto trace = parse_trace(text);
    BOOST_REQUIRE(!trace.has_value());
    BOOST_TEST(trace.error().line == 0U);
}

BOOST_AUTO_TEST_CASE(I1_property_no_text_breaks_the_parser)
{
    BOOST_TEST(rc::check("any lines are read or refused", [] {
        const auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
            "0", "1", "7", " ", "\n", "#", "-", "start active", "18446744073709551615", "4294967295",
            "1 1 1\n", "2 0 2\n", "9 1 4\n"));
        std::string text = head;
        for (const auto& piece : pieces)
            text += piece;
        const auto trace = parse_trace(text);
        if (trace) {
            RC_ASSERT(
                std::is_sorted(trace->edges.begin(), trace->edges.end(),
                               [](const Edge& left, const Edge& right) { return left.time < right.time; }));
        } else {
            RC_ASSERT(trace.error().line >= 1U);
        }
    }));
}

// Every trace in tests/traces says in its header what the counter makes of it.
BOOST_AUTO_TEST_CASE(C1_C2_C3_recorded_traces_count_as_they_did)
{
    std::size_t traces = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::string(TESTS_DIR) + "/traces")) {
        if (entry.path().extension() != ".trace")
            continue;
        ++traces;
        BOOST_TEST_CONTEXT(entry.path().filename())
        {
            const Trace trace = read_trace_file(entry.path());
            auto expected = expectations(entry.path());
            PulseCounter counter(
                trace.detection, trace.level_at_start,
                default_filter(MeterConstant{static_cast<std::uint32_t>(expected.at("imp_per_kwh"))},
                               static_cast<std::uint32_t>(expected.at("max_kw"))));
            counter.add(trace.edges);
            BOOST_TEST(counter.pulses() == expected.at("pulses"));
            BOOST_TEST(counter.quality().glitches == expected.at("glitches"));
            BOOST_TEST(counter.quality().missed_edges == expected.at("missed_edges"));
            BOOST_TEST(counter.quality().uncertain == expected.at("uncertain"));
        }
    }
    BOOST_TEST(traces >= 5U);
}

BOOST_AUTO_TEST_CASE(what_is_recorded_is_the_same_trace_again)
{
    BOOST_TEST(rc::check("edges to text and back", [] {
        const auto detection = *rc::gen::element(Detection::both_edges, Detection::rising_only);
        const auto start = *rc::gen::element(Level::inactive, Level::active);
        std::string text = trace_head(detection, start, "GPIO17, pull up");
        std::vector<Edge> edges;
        Edge edge;
        const auto count = *rc::gen::inRange(0, 20);
        for (int i = 0; i < count; ++i) {
            edge.time += std::chrono::nanoseconds(*rc::gen::inRange<std::int64_t>(0, INT64_MAX / 64));
            edge.seqno += *rc::gen::inRange<std::uint32_t>(1, 1U << 31U);
            edge.level = *rc::gen::element(Level::inactive, Level::active);
            edges.push_back(edge);
            text += trace_line(edge);
        }
        const auto trace = parse_trace(text);
        RC_ASSERT(trace.has_value());
        RC_ASSERT(trace->detection == detection);
        RC_ASSERT(trace->level_at_start == start);
        RC_ASSERT(trace->edges.size() == edges.size());
        for (std::size_t i = 0; i < edges.size(); ++i) {
            RC_ASSERT(trace->edges[i].time == edges[i].time);
            RC_ASSERT(trace->edges[i].level == edges[i].level);
            RC_ASSERT(trace->edges[i].seqno == edges[i].seqno);
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
