#include "meter-pi/commands/commands.hpp"
#include "meter-pi/commands/watch.hpp"
#include "meter-pi/trace.hpp"
#include "shared/log.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

namespace pulsemeter {
namespace {

struct RecordOptions {
    WatchOptions watch;
    std::string trace;
};

// A trace is no secret, and may be long: it grows line by line on the disk, and what exists is never overwritten.
class TraceFile {
public:
    explicit TraceFile(const std::string& path)
        : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644))
    {
        if (descriptor_ < 0 && errno == EEXIST)
            throw UsageError(path + ": exists already and is not overwritten: name another file");
        if (descriptor_ < 0) {
            throw UsageError(
                fmt::format("{}: cannot be written: {}", path, std::generic_category().message(errno)));
        }
    }
    ~TraceFile() { ::close(descriptor_); }
    TraceFile(const TraceFile&) = delete;
    TraceFile& operator=(const TraceFile&) = delete;

    void write(std::string_view text)
    {
        size_ += text.size();
        while (!text.empty()) {
            const ssize_t wrote = ::write(descriptor_, text.data(), text.size());
            if (wrote < 0 && errno == EINTR)
                continue;
            if (wrote < 0)
                throw std::system_error(errno, std::generic_category(), path_ + ": cannot be written");
            text.remove_prefix(static_cast<std::size_t>(wrote));
        }
    }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    std::string path_;
    int descriptor_;
    std::size_t size_ = 0;
};

std::string comment(const Watched& watched)
{
    const MeterSettings& settings = watched.settings;
    const GpioSettings& gpio = settings.gpio;
    if (watched.kind == Source::simulated) {
        return fmt::format("recorded by meter-pi {}; no sensor: {} imp/kWh", PULSEMETER_VERSION,
                           settings.constant.imp_per_kwh);
    }
    return fmt::format("recorded by meter-pi {} from {}; pull {}, active {}, {} imp/kWh", PULSEMETER_VERSION,
                       text(gpio.line), text(gpio.pull), text(gpio.active), settings.constant.imp_per_kwh);
}

ExitCode record(const RecordOptions& options)
{
    const Watched watched = open_watched(options.watch);
    TraceFile file(options.trace);
    file.write(trace_head(watched.edges->detection(), watched.edges->level_at_start(), comment(watched)));
    log::info("recording to {}; {}", options.trace,
              options.watch.seconds ? fmt::format("for {} s", *options.watch.seconds)
                                    : std::string("Enter or Ctrl-C ends it"));
    std::size_t count = 0;
    watch(*watched.edges, options.watch, [&](std::span<const Edge> edges) {
        std::string lines;
        for (const Edge& edge : edges)
            lines += trace_line(edge);
        if (file.size() + lines.size() > largest_trace) {
            log::warning("the trace has reached 64 MiB: enough");
            return Go::end;
        }
        file.write(lines);
        count += edges.size();
        return Go::on;
    });
    fmt::print("{}: {} edges; meter-pi run --source replay={} plays them\n", options.trace, count,
               options.trace);
    return ExitCode::done;
}

} // namespace

void add_record(Command& parent)
{
    auto options = std::make_shared<RecordOptions>();
    Command command =
        parent.add_command("record", "Record the sensor's edges as a trace; not while the meter runs");
    command.add_option("TRACE", options->trace, "The file to make; an existing one is not overwritten")
        .required();
    add_watch_options(command, options->watch);
    command.does([options] { return record(*options); });
}

} // namespace pulsemeter
