#include "shared/crypto/classic_token.hpp"

#include "shared/classic_codec.hpp"

#include <vector>

namespace pulsemeter::crypto {

std::string seal_total(Fernet& fernet, Pulses total, WallTime now, const Iv& iv)
{
    const std::string digits = encode_total(total);
    const std::vector<std::uint8_t> plaintext(digits.begin(), digits.end());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
    return fernet.seal(plaintext, static_cast<std::uint64_t>(seconds), iv);
}

} // namespace pulsemeter::crypto
