#include "meter-pi/commands/watch.hpp"

#include "shared/event_loop.hpp"

#include <poll.h>
#include <unistd.h>

#include <random>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

// `| head`, or an ssh that was cut off: nobody is left who would end us, and we have the line.
bool reader_is_gone()
{
    pollfd output{STDOUT_FILENO, 0, 0};
    return ::poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

} // namespace

void add_watch_options(Command& command, WatchOptions& options)
{
    command.add_option("--config", options.config, "The meter's configuration file (mode 0600)")
        .takes("FILE")
        .required();
    command
        .add_option("--source", options.source,
                    "gpio (the configured line), or, without hardware, simulate or replay=TRACE")
        .takes("SOURCE");
    command.add_option("--seconds", options.seconds, "End after that time; else at Enter or Ctrl-C")
        .takes("N")
        .within(1, 1'000'000);
}

Watched open_watched(const WatchOptions& options)
{
    const SourceRequest request = SourceRequest::parse(options.source);
    MeterSettings settings = read_meter_settings(options.config);
    settings.gpio.filter = FilterKind::own; // raw: a glitch that is filtered away can't be shown
    OpenedSource opened = open_source(request, settings, History::never_fed, std::random_device{}());
    return {std::move(settings), opened.source, std::move(opened.first)};
}

void watch(EdgeSource& source, const WatchOptions& options,
           const std::function<Go(std::span<const Edge>)>& step)
{
    EventLoop loop;
    loop.stop_on_enter();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options.seconds.value_or(0));
    while (!loop.stop_requested()) {
        const auto edges = source.await(200ms);
        const bool time_is_up = options.seconds && std::chrono::steady_clock::now() >= end;
        if (step(edges) == Go::end || time_is_up || reader_is_gone())
            return;
        loop.wait_until(std::chrono::steady_clock::now()); // looks at the keyboard and for signals
    }
}

} // namespace pulsemeter
