// Sizes of the sealed wire, version 1 (PROTOCOL.md).
#pragma once

#include "shared/reading_codec.hpp"

namespace pulsemeter {

// A Fernet token of a plaintext of constant size: version, time, IV, padded ciphertext, HMAC, in base64url.
inline constexpr std::size_t sealed_bytes = 1 + 8 + 16 + (plaintext_size / 16 + 1) * 16 + 32;
inline constexpr std::size_t sealed_size = (sealed_bytes + 2) / 3 * 4;
static_assert(sealed_size == 248);

} // namespace pulsemeter
