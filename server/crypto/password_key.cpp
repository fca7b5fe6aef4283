#include "server/crypto/password_key.hpp"

#include "shared/crypto/openssl.hpp"
#include "shared/ensure.hpp"

#include <openssl/rand.h>

#include <bit>

namespace pulsemeter::crypto {
namespace {

constexpr std::uint64_t most_memory = 256U << 20;

// scrypt's great table. With p in it, as a bound of the time too.
std::uint64_t cost(const ScryptParameters& parameters)
{
    return 128 * parameters.n * parameters.r * parameters.p;
}

} // namespace

bool acceptable(const ScryptParameters& parameters)
{
    // Each within the bound first, so that the product can't wrap around.
    constexpr std::uint64_t most = most_memory / 128;
    return parameters.n >= 2 && parameters.n <= most && std::has_single_bit(parameters.n) &&
           parameters.r >= 1 && parameters.r <= 1024 && parameters.p >= 1 && parameters.p <= 1024 &&
           cost(parameters) <= most_memory;
}

Salt random_salt()
{
    Salt salt{};
    require(RAND_bytes(salt.data(), static_cast<int>(salt.size())), "RAND_bytes");
    return salt;
}

PasswordKey password_key(std::string_view password, std::span<const std::uint8_t> salt,
                         const ScryptParameters& parameters)
{
    ENSURE(acceptable(parameters), "scrypt parameters are checked where they are read");
    PasswordKey key;
    // OpenSSL's own limit is 32 MiB; ours stands above what acceptable() lets through, working memory
    // included.
    require(EVP_PBE_scrypt(password.data(), password.size(), salt.data(), salt.size(), parameters.n,
                           parameters.r, parameters.p, 2 * most_memory, key.bytes().data(),
                           key.bytes().size()),
            "scrypt");
    return key;
}

} // namespace pulsemeter::crypto
