// AES-256-GCM: bytes that only the holder of the key reads, bound to associated data that anyone may read and
// nobody may change. Each sealing draws a nonce: use a key for less than 2^32 of them. Thread-safe.
#pragma once

#include "shared/crypto/secret.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pulsemeter::crypto {

struct SealedBox {
    std::array<std::uint8_t, 12> nonce{};
    std::vector<std::uint8_t> sealed; // the ciphertext, then the 16-byte tag
};

using BoxKey = SecretBytes<32>;

[[nodiscard]] SealedBox seal_box(const BoxKey& key, std::span<const std::uint8_t> plaintext,
                                 std::span<const std::uint8_t> associated);

// Nothing if the key is another one or if a bit of the box or the associated data is.
[[nodiscard]] std::optional<SecretBuffer> open_box(const BoxKey& key, const SealedBox& box,
                                                   std::span<const std::uint8_t> associated);

} // namespace pulsemeter::crypto
