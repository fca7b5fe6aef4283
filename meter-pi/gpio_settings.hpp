// Which GPIO line the sensor is on and how to read it: the [gpio] table of the meter's configuration.
// Plain values, so that the configuration is the same with and without libgpiod.
#pragma once

#include "meter-pi/pulse_counter.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <variant>

namespace pulsemeter {

struct LineName {
    std::string name; // "GPIO17", looked up over all chips: numbers of chips change between Pis
};
struct LineOffset {
    std::string chip_label; // "pinctrl-bcm2711"
    unsigned offset = 0;
};
using LinePlace = std::variant<LineName, LineOffset>;
[[nodiscard]] std::string text(const LinePlace& place); // "GPIO17", "line 17 of pinctrl-bcm2711"

enum class Pull : std::uint8_t { up, down, none };
enum class ActiveLevel : std::uint8_t { low, high }; // the pin's level while the LED is lit
[[nodiscard]] std::string_view text(Pull pull);      // "up"
[[nodiscard]] std::string_view text(ActiveLevel active);
enum class FilterKind : std::uint8_t {
    own,    // both edges raw, PulseCounter's filter
    kernel, // the kernel's debounce, rising edges only: for pulses of 20 ms and more
    none,   // every rising edge is a pulse
};

struct GpioSettings {
    LinePlace line = LineName{"GPIO17"};
    Pull pull = Pull::up;
    ActiveLevel active = ActiveLevel::low;
    FilterKind filter = FilterKind::own;
    PulseFilter own_filter;                     // with FilterKind::own
    std::chrono::microseconds debounce{10'000}; // with FilterKind::kernel
};

} // namespace pulsemeter
