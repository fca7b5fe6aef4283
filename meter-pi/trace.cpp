#include "meter-pi/trace.hpp"

#include <charconv>
#include <optional>

namespace pulsemeter {
namespace {

constexpr std::string_view first_line = "# pulsemeter trace 1";
constexpr std::uint64_t time_limit = 1ULL << 62U;
constexpr std::uint32_t seqno_step_limit = 1U << 31U;

template <typename Number>
std::optional<Number> number(std::string_view text)
{
    Number value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end)
        return std::nullopt;
    return value;
}

// The text before the next space; `rest` becomes what is behind it.
std::string_view next_part(std::string_view& rest)
{
    const std::size_t space = rest.find(' ');
    const std::string_view part = rest.substr(0, space);
    rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    return part;
}

std::optional<std::string> read_setting(std::string_view line, Trace& trace)
{
    if (line == "start active") {
        trace.level_at_start = Level::active;
    } else if (line == "start inactive") {
        trace.level_at_start = Level::inactive;
    } else if (line == "detection both_edges") {
        trace.detection = Detection::both_edges;
    } else if (line == "detection rising_only") {
        trace.detection = Detection::rising_only;
    } else {
        return "neither an edge (TIME_NS LEVEL SEQNO), start active|inactive, detection "
               "both_edges|rising_only, "
               "nor a comment";
    }
    if (!trace.edges.empty())
        return "a setting after the first edge";
    return std::nullopt;
}

std::optional<std::string> read_edge(std::string_view line, Trace& trace)
{
    const auto time = number<std::uint64_t>(next_part(line));
    const std::string_view level = next_part(line);
    const auto seqno = number<std::uint32_t>(line);
    if (!time || *time >= time_limit)
        return "the time is no number of ns below 2^62";
    if (level != "0" && level != "1")
        return "the level is neither 0 nor 1";
    if (!seqno)
        return "the seqno is no number below 2^32";
    const Edge edge{.time = std::chrono::nanoseconds(static_cast<std::int64_t>(*time)),
                    .level = level == "1" ? Level::active : Level::inactive,
                    .seqno = *seqno};
    const std::uint32_t step = edge.seqno - (trace.edges.empty() ? 0 : trace.edges.back().seqno);
    if (step == 0 || step >= seqno_step_limit)
        return "the seqno does not step on by 1 to 2^31-1";
    if (!trace.edges.empty() && edge.time < trace.edges.back().time)
        return "the time is before that of the edge above";
    trace.edges.push_back(edge);
    return std::nullopt;
}

} // namespace

tl::expected<Trace, TraceError> parse_trace(std::string_view text)
{
    if (text.size() > largest_trace)
        return tl::unexpected(TraceError{0, "larger than 64 MiB"});
    Trace trace;
    for (std::size_t line_number = 1; !text.empty() || line_number == 1; ++line_number) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        std::optional<std::string> error;
        if (line_number == 1 && line != first_line) {
            error = "no trace: the first line is not \"# pulsemeter trace 1\"";
        } else if (end == std::string_view::npos) {
            error = "the line does not end: the trace is cut off";
        } else if (line.empty() || (line.front() != '#' && (line.front() < '0' || line.front() > '9'))) {
            error = read_setting(line, trace);
        } else if (line.front() != '#') {
            error = read_edge(line, trace);
        }
        if (error)
            return tl::unexpected(TraceError{line_number, *error});
        text.remove_prefix(end + 1);
    }
    return trace;
}

std::string trace_head(Detection detection, Level level_at_start, std::string_view comment)
{
    std::string head(first_line);
    head.append("\n# ").append(comment);
    head += level_at_start == Level::active ? "\nstart active" : "\nstart inactive";
    head += detection == Detection::both_edges ? "\ndetection both_edges\n" : "\ndetection rising_only\n";
    return head;
}

std::string trace_line(const Edge& edge)
{
    return std::to_string(edge.time.count()) + (edge.level == Level::active ? " 1 " : " 0 ") +
           std::to_string(edge.seqno) + "\n";
}

} // namespace pulsemeter
