// What `meter-pi doctor` looks at: the files, the clock, the sensor's line, the state folder, the broker and the
// server. Nothing is changed, and a running meter is not disturbed: its line, its folder and its lock are its own, and
// a Hello makes the server answer, no more. Each part returns its findings in the order in which one mends things.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/findings.hpp"
#include "meter-pi/gpio_line.hpp"
#include "meter-pi/meter_settings.hpp"
#include "shared/event_loop.hpp"
#include "shared/message_bus.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pulsemeter::doctor {

struct Configuration {
    std::vector<Finding> findings; // configuration, key
    std::optional<MeterSettings> settings;
};
[[nodiscard]] Configuration configuration(const std::filesystem::path& file);

// Who runs on a state folder; by its lock file and /proc, so that the lock is never touched.
struct Running {
    enum class Seen : std::uint8_t { nobody, meter, nothing };
    Seen seen = Seen::nobody; // nothing: the folder is another user's
    std::string who;          // "meter-pi (pid 123)"
};
[[nodiscard]] Running running_meter(const std::filesystem::path& state);

[[nodiscard]] Finding clock(Clock clock);

// state folder, file modes, free space, running, register, held readings. Without settings, but for whose it is.
[[nodiscard]] std::vector<Finding> state(const std::filesystem::path& folder, const MeterSettings* settings);
// The register that a Hello is to ask about: the measured one, unless there is only a simulated one.
[[nodiscard]] Source register_source(const std::filesystem::path& folder);
[[nodiscard]] Finding free_space(std::uint64_t bytes);

// sensor line, line free, level, pull. The line is watched for a second, three if it is active.
[[nodiscard]] std::vector<Finding> sensor(const GpioSettings& settings, const Running& running);
[[nodiscard]] std::vector<Finding> line(const LinePlace& place, const tl::expected<FoundLine, NoLine>& seen,
                                        const Running& running);
[[nodiscard]] Finding level(Level at_start, std::span<const Edge> edges, std::chrono::nanoseconds watched);
[[nodiscard]] Finding pull(const GpioSettings& settings);

// The password, the CAs and the client certificate that [broker] names: there, and good as far as can be seen here.
// `service`: the folder of the packaged service's configuration, where that is looked at. The service is handed the regular
// files of its folder `broker`, and else sees only what everybody may read.
[[nodiscard]] Finding broker_files(const BrokerSettings& broker,
                                   const std::optional<std::filesystem::path>& service);
// What stands in the place of all that needs the configuration.
[[nodiscard]] std::vector<Finding> unconfigured();
// broker resolves, broker connects
[[nodiscard]] std::vector<Finding> network(const BrokerUrl& url);

// TLS, login, topics, server. Says Hello, waits `patience` for each answer.
[[nodiscard]] std::vector<Finding> link(const MeterSettings& settings, const Hello& hello, MessageBus& bus,
                                        EventLoop& loop, std::chrono::seconds patience);
// What stands in their place while the broker can't be reached.
[[nodiscard]] std::vector<Finding> no_link(const std::string& why);

} // namespace pulsemeter::doctor
