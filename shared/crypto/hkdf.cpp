#include "shared/crypto/hkdf.hpp"

#include "shared/crypto/openssl.hpp"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <array>

namespace pulsemeter::crypto {
namespace {

OSSL_PARAM octets(const char* name, std::span<const std::uint8_t> bytes)
{
    // OpenSSL takes a null pointer for an error, though an empty salt or info is none.
    static const std::uint8_t nothing = 0;
    const std::uint8_t* data = bytes.empty() ? &nothing : bytes.data();
    // Its parameter lists are not const, though setting a parameter only reads it.
    return OSSL_PARAM_construct_octet_string(name, const_cast<std::uint8_t*>(data), bytes.size());
}

} // namespace

void hkdf_sha256(std::span<const std::uint8_t> key_material, std::span<const std::uint8_t> salt,
                 std::span<const std::uint8_t> info, std::span<std::uint8_t> out)
{
    static const Kdf kdf = required(Kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr)), "EVP_KDF_fetch");
    const KdfContext context = required(KdfContext(EVP_KDF_CTX_new(kdf.get())), "EVP_KDF_CTX_new");
    std::array<char, 7> digest{"SHA256"};
    const std::array<OSSL_PARAM, 5> parameters = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
        octets(OSSL_KDF_PARAM_KEY, key_material), octets(OSSL_KDF_PARAM_SALT, salt),
        octets(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
    require(EVP_KDF_derive(context.get(), out.data(), out.size(), parameters.data()), "HKDF");
}

} // namespace pulsemeter::crypto
