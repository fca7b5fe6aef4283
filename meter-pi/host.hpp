// What the running system says about itself and the time: read from the kernel at each call, nothing kept.
#pragma once

#include "meter-pi/energy_register.hpp"
#include "shared/reading.hpp"

namespace pulsemeter::host {

[[nodiscard]] BootId boot_id(); // throws std::runtime_error where /proc is not mounted
[[nodiscard]] Uptime uptime();  // CLOCK_BOOTTIME: goes on while suspended
[[nodiscard]] WallTime wall_time();
[[nodiscard]] Clock clock(); // synchronised: the kernel's own flag, kept by NTP daemons

// Time, clock, boot and uptime; no events, no power.
[[nodiscard]] ReadingFacts facts();

} // namespace pulsemeter::host
