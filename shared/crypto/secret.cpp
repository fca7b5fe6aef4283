#include "shared/crypto/secret.hpp"

#include <openssl/crypto.h>

namespace pulsemeter::crypto {

void wipe(std::span<std::uint8_t> bytes)
{
    OPENSSL_cleanse(bytes.data(), bytes.size());
}

void wipe(std::string& text)
{
    OPENSSL_cleanse(text.data(), text.size());
    text.clear();
}

} // namespace pulsemeter::crypto
