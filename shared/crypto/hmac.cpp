#include "shared/crypto/hmac.hpp"

#include "shared/ensure.hpp"

#include <openssl/crypto.h>

#include <algorithm>

namespace pulsemeter::crypto {
namespace {

constexpr std::size_t block_size = 64;

const EVP_MD* sha256()
{
    // Fetched once: a fetch costs more than the whole MAC.
    static const Digest digest = required(Digest(EVP_MD_fetch(nullptr, "SHA256", nullptr)), "EVP_MD_fetch");
    return digest.get();
}

DigestContext keyed_state(std::span<const std::uint8_t> key, std::uint8_t pad)
{
    std::array<std::uint8_t, block_size> block{};
    std::copy(key.begin(), key.end(), block.begin());
    for (std::uint8_t& byte : block)
        byte ^= pad;
    DigestContext context = required(DigestContext(EVP_MD_CTX_new()), "EVP_MD_CTX_new");
    require(EVP_DigestInit_ex2(context.get(), sha256(), nullptr), "EVP_DigestInit_ex2");
    require(EVP_DigestUpdate(context.get(), block.data(), block.size()), "EVP_DigestUpdate");
    OPENSSL_cleanse(block.data(), block.size());
    return context;
}

} // namespace

HmacSha256::HmacSha256(std::span<const std::uint8_t> key)
    : work_(required(DigestContext(EVP_MD_CTX_new()), "EVP_MD_CTX_new"))
{
    ENSURE(key.size() <= block_size, "an HMAC key is at most a block long");
    inner_ = keyed_state(key, 0x36);
    outer_ = keyed_state(key, 0x5c);
}

HmacSha256::Mac HmacSha256::mac(std::span<const std::uint8_t> message)
{
    Mac mac{};
    require(EVP_MD_CTX_copy_ex(work_.get(), inner_.get()), "EVP_MD_CTX_copy_ex");
    require(EVP_DigestUpdate(work_.get(), message.data(), message.size()), "EVP_DigestUpdate");
    require(EVP_DigestFinal_ex(work_.get(), mac.data(), nullptr), "EVP_DigestFinal_ex");
    require(EVP_MD_CTX_copy_ex(work_.get(), outer_.get()), "EVP_MD_CTX_copy_ex");
    require(EVP_DigestUpdate(work_.get(), mac.data(), mac.size()), "EVP_DigestUpdate");
    require(EVP_DigestFinal_ex(work_.get(), mac.data(), nullptr), "EVP_DigestFinal_ex");
    return mac;
}

} // namespace pulsemeter::crypto
