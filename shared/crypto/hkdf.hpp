// HKDF-SHA-256 (RFC 5869): fills `out` (at most 8160 bytes) from the key material. An empty salt is the RFC's
// default one. Deterministic; thread-safe.
#pragma once

#include <cstdint>
#include <span>

namespace pulsemeter::crypto {

void hkdf_sha256(std::span<const std::uint8_t> key_material, std::span<const std::uint8_t> salt,
                 std::span<const std::uint8_t> info, std::span<std::uint8_t> out);

} // namespace pulsemeter::crypto
