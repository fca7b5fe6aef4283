// What both halves of the witness say. For witness*.cpp only.
#pragma once

#include "tests/sim/witness.hpp"

#include <fmt/core.h>

namespace pulsemeter::sim {

inline std::size_t at(Source source)
{
    return static_cast<std::size_t>(source);
}

inline std::string describe(const MeterId& meter, const Reading& reading)
{
    return fmt::format("{} epoch {} reading {} (total {}, {})", meter.text(), reading.epoch.value,
                       reading.sequence.value, reading.total.value, text(reading.source));
}

[[noreturn]] inline void violated(const std::string& what)
{
    throw Violation{what};
}

} // namespace pulsemeter::sim
