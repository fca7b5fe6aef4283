// Which source of edges a run takes: the rule (pure) and the opening of it. A measured register never takes a
// simulated pulse (row C7): `auto` simulates only where no chip has the line and only while the register was
// never fed by hardware; once it was, a missing line is waited for. On the classic wire it never simulates.
#pragma once

#include "meter-pi/edge_reader.hpp"
#include "meter-pi/gpio_line.hpp"
#include "meter-pi/meter_settings.hpp"

#include <filesystem>
#include <memory>
#include <string>

namespace pulsemeter {

enum class SourceKind : std::uint8_t { automatic, gpio, simulate, replay };

struct SourceRequest {
    SourceKind kind = SourceKind::automatic;
    std::filesystem::path trace; // with replay
    // "auto", "gpio", "simulate" or "replay=TRACE"; throws UsageError.
    [[nodiscard]] static SourceRequest parse(const std::string& text);
};

// What looking for the configured line has shown.
enum class LinePresence : std::uint8_t {
    found,
    no_gpio, // no chip on this machine has header lines at all: not a Pi, or no access to a simulation of one
    not_there, // there is a Pi's header, but not that line
};

enum class History : std::uint8_t { never_fed, fed_by_hardware }; // the measured register in the state folder

// Of `auto` where no chip has the line: on the classic wire nothing, for there simulated units would be in a pair's total
// for good.
enum class Fallback : std::uint8_t { simulation, none };

enum class SourceDecision : std::uint8_t {
    take_line,
    wait_for_line,
    simulate,
    refuse_missing,     // exit 2: no such line
    refuse_simulating,  // exit 2: this register was fed by hardware
    refuse_falling_back // exit 2: simulation wants to be asked for
};
[[nodiscard]] SourceDecision decide(SourceKind kind, LinePresence presence, History history,
                                    Fallback fallback);

struct OpenedSource {
    Source source = Source::simulated;
    std::unique_ptr<EdgeSource> first; // null: wait for it
    std::string trouble;               // why it is null
    EdgeReader::Opener open;
};

// Throws UsageError (exit 2) with the remedy: line busy (and by whom), permission denied, no such line.
[[nodiscard]] OpenedSource open_source(const SourceRequest& request, const MeterSettings& settings,
                                       History history, std::uint64_t seed);

// For `doctor`: only the look, and only the opening, of the configured line. The first is NoLine without libgpiod 2.
[[nodiscard]] tl::expected<FoundLine, NoLine> look_for_line(const LinePlace& place);
[[nodiscard]] std::unique_ptr<EdgeSource> open_line(const FoundLine& line, const GpioSettings& settings);

[[nodiscard]] std::string gpio_support(); // "libgpiod 2.1.3", "without GPIO: simulation and replay only"

} // namespace pulsemeter
