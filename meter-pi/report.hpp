// The meter's lines on stdout, one each, flushed at once: readings as they are stored and as they are
// confirmed.
#pragma once

#include "meter-pi/energy_register.hpp"
#include "shared/reading.hpp"

#include <optional>
#include <string>

namespace pulsemeter::report {

// The register in units of 1 Wh (start value and total), rounded down.
[[nodiscard]] std::uint64_t units(MilliwattHours start, Pulses total, MeterConstant constant);
[[nodiscard]] std::string watts(const std::optional<Milliwatts>& power); // "120 W", "unknown power"

void stored(const MeterId& meter, const Reading& reading);
void waiting(const MeterId& meter, const StoredRegister& now); // counted, not numbered yet
void confirmed(const Confirmation& confirmation);
void confirmed(Pulses total); // on the classic wire
// At start: the last confirmation as it came from the disk, and what it says once opened.
void last_confirmation(const std::string& token, const std::optional<Confirmation>& opened);
void last_confirmation(const std::string& token, const std::optional<Pulses>& opened);

} // namespace pulsemeter::report
