// One master key a meter, and what HKDF-SHA-256 (RFC 5869) derives from it: the up key, the down key and the
// pseudonymous topic (shared/PROTOCOL.md, "Keys and topics"). Deterministic; thread-safe.
#pragma once

#include "shared/crypto/fernet.hpp"
#include "shared/reading.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter::crypto {

// 32 random bytes, written as 44 characters of canonical base64url. Wiped when destroyed.
class MasterKey {
public:
    explicit MasterKey(std::span<const std::uint8_t, 32> bytes) : bytes_(bytes) {}
    [[nodiscard]] static MasterKey random(); // throws std::runtime_error without randomness
    [[nodiscard]] static std::optional<MasterKey> parse(std::string_view text);
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::span<const std::uint8_t, 32> bytes() const { return bytes_.bytes(); }

private:
    SecretBytes<32> bytes_;
};

struct MeterKeys {
    FernetKey up;           // meter → server
    FernetKey down;         // server → meter
    std::string up_topic;   // pulsemeter/<32 hex digits>/up
    std::string down_topic; // pulsemeter/<32 hex digits>/down
};

[[nodiscard]] MeterKeys derive(const MasterKey& master, const MeterId& meter);

} // namespace pulsemeter::crypto
