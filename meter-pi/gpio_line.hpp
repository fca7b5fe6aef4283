// Pure: which of the lines that were seen is the configured one, and what to tell the user if none is. Knows no
// libgpiod, so that the rule is the same, and tested, without it.
#pragma once

#include "meter-pi/gpio_settings.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

struct LineSeen {
    std::string name;                  // may be empty
    std::optional<std::string> holder; // who uses it, may be empty; nullopt: nobody
};

enum class ChipAccess : std::uint8_t { open, denied };

struct ChipSeen {
    std::filesystem::path path;
    ChipAccess access = ChipAccess::open;
    std::string label;           // with open only, as
    std::vector<LineSeen> lines; // these, by offset
};

struct FoundLine {
    std::filesystem::path chip; // "/dev/gpiochip0"
    unsigned offset = 0;
};

enum class LineTrouble : std::uint8_t {
    no_gpio,           // not there, nor any line of a Pi's header: no Pi
    not_there,         // there is a Pi's header, but not that line
    several,           // more than one line has the name
    permission_denied, // not among the chips that may be opened
    held,              // by another program or the kernel
};

struct NoLine {
    LineTrouble trouble = LineTrouble::no_gpio;
    std::string message;  // one line: what, where, what to do
    std::string holder{}; // with held: its name, may be empty
};

// Of the chips whose first lines are those of a Pi's header, GPIO0 and so on.
[[nodiscard]] bool is_header_chip(std::string_view label);

[[nodiscard]] tl::expected<FoundLine, NoLine> choose_line(const LinePlace& place,
                                                          std::span<const ChipSeen> chips);

// The request for a line failed with `error` (errno). Throws UsageError with the remedy if a person must act (held,
// no permission), SensorMissing if the chip is gone, else std::runtime_error.
[[noreturn]] void refuse_request(const FoundLine& line, int error, std::string_view holder);

} // namespace pulsemeter
