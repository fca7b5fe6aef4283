// A total as the classic wire carries it: one Fernet token of its plain digits, under one key both ways
// (shared/PROTOCOL.md, "The classic wire").
#pragma once

#include "shared/crypto/fernet.hpp"
#include "shared/reading.hpp"

#include <string>

namespace pulsemeter::crypto {

[[nodiscard]] std::string seal_total(Fernet& fernet, Pulses total, WallTime now, const Iv& iv);

} // namespace pulsemeter::crypto
