// The meters that a benchmark speaks for or to: those of a file with a line "ID KEY" each. Throws what is wrong with it.
#pragma once

#include "shared/crypto/meter_keys.hpp"
#include "shared/reading.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pulsemeter::bench {

struct BenchMeter {
    MeterId id;
    crypto::MeterKeys keys;
    crypto::Fernet up;
    crypto::Fernet down;
};

[[nodiscard]] std::vector<BenchMeter> read_meters(const std::string& path);
[[nodiscard]] std::uint64_t unix_seconds();

} // namespace pulsemeter::bench
