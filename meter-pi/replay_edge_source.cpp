#include "meter-pi/replay_edge_source.hpp"

#include "shared/errors.hpp"

#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace pulsemeter {

using std::chrono::nanoseconds;

Trace read_trace_file(const std::filesystem::path& path)
{
    std::error_code error;
    const bool is_file = std::filesystem::is_regular_file(path, error);
    if (error)
        throw UsageError(path.string() + ": no such trace file (" + error.message() + "): correct its name");
    if (!is_file)
        throw UsageError(path.string() + ": is no regular file: name the trace itself");
    if (std::filesystem::file_size(path, error) > largest_trace)
        throw UsageError(path.string() + ": larger than 64 MiB: cut it into parts");
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file)
        throw UsageError(path.string() + ": cannot be read: check its permissions");
    auto trace = parse_trace(text);
    if (!trace) {
        throw UsageError(path.string() + ":" + std::to_string(trace.error().line) + ": " +
                         trace.error().message);
    }
    return *std::move(trace);
}

ReplayEdgeSource::ReplayEdgeSource(Trace trace, std::uint32_t speed, RealTime real)
    : trace_(std::move(trace)),
      clock_(speed, trace_.edges.empty() ? nanoseconds::zero() : trace_.edges.front().time, std::move(real)),
      due_(next_due())
{
}

nanoseconds ReplayEdgeSource::next_due() const
{
    const bool over = played_ == trace_.edges.size();
    return over ? nanoseconds::max() / 2 : trace_.edges[played_].time;
}

void ReplayEdgeSource::wait(std::chrono::milliseconds timeout, const std::stop_token& stop)
{
    clock_.sleep_until(due_, timeout, stop);
}

std::vector<Edge> ReplayEdgeSource::read()
{
    const nanoseconds now = clock_.now();
    std::vector<Edge> edges;
    while (played_ < trace_.edges.size() && trace_.edges[played_].time <= now && edges.size() < largest_batch)
        edges.push_back(trace_.edges[played_++]);
    due_ = next_due();
    return edges;
}

} // namespace pulsemeter
