// What `probe` and `record` share: the sensor's raw edges (both of them, whatever filter is configured), taken in on
// the program's one thread until Enter, Ctrl-C, SIGTERM, --seconds, or until nobody reads stdout any more.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/meter_settings.hpp"
#include "meter-pi/sources.hpp"
#include "shared/command_line.hpp"

#include <functional>
#include <optional>
#include <span>
#include <string>

namespace pulsemeter {

struct WatchOptions {
    std::string config;
    std::string source = "gpio";
    std::optional<std::uint32_t> seconds;
};
void add_watch_options(Command& command, WatchOptions& options);

struct Watched {
    MeterSettings settings;
    Source kind = Source::simulated;
    std::unique_ptr<EdgeSource> edges;
};
// Throws UsageError as `run` does; also while a running meter-pi has the line.
[[nodiscard]] Watched open_watched(const WatchOptions& options);

enum class Go : bool { on, end };
// `step` gets the edges since its last call, often none, at least five times a second.
void watch(EdgeSource& source, const WatchOptions& options,
           const std::function<Go(std::span<const Edge>)>& step);

} // namespace pulsemeter
