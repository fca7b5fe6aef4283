// The operator's password, stretched to a key by scrypt (RFC 7914). The parameters and the salt are stored
// beside what the key seals and are read back from there, so that they can grow without locking anyone out.
// Thread-safe. With the default parameters a call takes 128 MiB and some tenths of a second.
#pragma once

#include "shared/crypto/secret.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace pulsemeter::crypto {

struct ScryptParameters {
    std::uint64_t n = 1U << 17; // a power of two
    std::uint32_t r = 8;
    std::uint32_t p = 1;
    bool operator==(const ScryptParameters&) const = default;
};

// Whether a file may ask for that: what scrypt takes at all, and no more than 256 MiB.
[[nodiscard]] bool acceptable(const ScryptParameters& parameters);

using Salt = std::array<std::uint8_t, 16>;
[[nodiscard]] Salt random_salt(); // throws std::runtime_error without randomness

using PasswordKey = SecretBytes<32>;
// `parameters` must be acceptable. Throws std::runtime_error when the memory is not there.
[[nodiscard]] PasswordKey password_key(std::string_view password, std::span<const std::uint8_t> salt,
                                       const ScryptParameters& parameters);

} // namespace pulsemeter::crypto
