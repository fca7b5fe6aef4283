// Pure: recorded edges as text, so that a filter can be tried on what a real meter did. Strict: what is not
// exactly in this form is refused with its line.
//
//     # pulsemeter trace 1     the first line, exactly; any other line that begins with # is a comment
//     start inactive           before the first edge: the level at start, inactive (default) or active
//     detection both_edges     before the first edge: both_edges (default) or rising_only
//     1000000 1 1              an edge: time in ns (never falling, < 2^62), level after it (1 = active), seqno
//
// Parts are parted by one space, every line ends with a line feed. The seqno steps on by 1 … 2^31−1 from the
// edge before (from 0 for the first) and wraps at 2^32; what it skips was lost.
#pragma once

#include "meter-pi/edge_source.hpp"

#include <tl/expected.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

inline constexpr std::size_t largest_trace = std::size_t{64} << 20U; // bytes: about two million edges

struct Trace {
    Detection detection = Detection::both_edges;
    Level level_at_start = Level::inactive;
    std::vector<Edge> edges;
};

struct TraceError {
    std::size_t line = 0; // from 1; 0: the text as a whole
    std::string message;  // for people
};

[[nodiscard]] tl::expected<Trace, TraceError> parse_trace(std::string_view text);

// The same the other way: the lines before the first edge (the comment is one line), and an edge's. What is written of
// times that do not fall and seqnos that step on is always a trace again.
[[nodiscard]] std::string trace_head(Detection detection, Level level_at_start, std::string_view comment);
[[nodiscard]] std::string trace_line(const Edge& edge);

} // namespace pulsemeter
