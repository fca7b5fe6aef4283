// Fernet tokens by the Fernet specification, on OpenSSL 3 EVP (AES-128-CBC, HMAC-SHA-256).
// seal() and open() are deterministic: the time and the IV are arguments. Nothing is decrypted before its MAC
// is right, and the one error says no more than that the token is not to be trusted. A Fernet object keeps
// its cipher and MAC contexts for speed: use one object in one thread at a time.
#pragma once

#include "shared/crypto/secret.hpp"

#include <tl/expected.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter::crypto {

// Signing half (16 bytes), then encryption half (16 bytes). Wiped when destroyed.
class FernetKey {
public:
    explicit FernetKey(std::span<const std::uint8_t, 32> bytes) : bytes_(bytes) {}
    // From the 44 characters of canonical base64url that Fernet keys are written in.
    [[nodiscard]] static std::optional<FernetKey> parse(std::string_view text);
    [[nodiscard]] std::string text() const;
    [[nodiscard]] std::span<const std::uint8_t, 32> bytes() const { return bytes_.bytes(); }

private:
    SecretBytes<32> bytes_;
};

using Iv = std::array<std::uint8_t, 16>;
[[nodiscard]] Iv random_iv(); // RAND_bytes; throws std::runtime_error when the system has no randomness

struct Opened {
    std::vector<std::uint8_t> plaintext;
    std::uint64_t timestamp = 0; // seconds since 1970 as the sealer's clock had it
};

enum class FernetError : std::uint8_t { invalid }; // one error outward: row K5

// Age limits of the specification: refuse tokens older than ttl or more than max_skew in the future.
struct AgeLimit {
    std::uint64_t now = 0;       // seconds since 1970
    std::uint64_t ttl = 0;       // seconds
    std::uint64_t max_skew = 60; // seconds
};

// What a stranger may make us work on; seal() takes no more than fits.
inline constexpr std::size_t longest_token = 65536;     // characters
inline constexpr std::size_t largest_plaintext = 49087; // bytes

class Fernet {
public:
    explicit Fernet(const FernetKey& key);
    Fernet(Fernet&&) noexcept;
    Fernet& operator=(Fernet&&) noexcept;
    ~Fernet();

    // The token as canonical base64url with padding. `now`: seconds since 1970. At most largest_plaintext
    // bytes.
    [[nodiscard]] std::string seal(std::span<const std::uint8_t> plaintext, std::uint64_t now, const Iv& iv);
    // Without an age limit a token never expires: our wire orders by sequence, not by age.
    [[nodiscard]] tl::expected<Opened, FernetError> open(std::string_view token,
                                                         const std::optional<AgeLimit>& age = std::nullopt);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter::crypto
