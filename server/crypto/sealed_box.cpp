#include "server/crypto/sealed_box.hpp"

#include "shared/crypto/openssl.hpp"

#include <openssl/rand.h>

namespace pulsemeter::crypto {
namespace {

constexpr std::size_t tag_size = 16;

template <auto init>
CipherContext begin(const BoxKey& key, const SealedBox& box)
{
    const Cipher cipher =
        required(Cipher(EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)), "EVP_CIPHER_fetch");
    CipherContext context = required(CipherContext(EVP_CIPHER_CTX_new()), "EVP_CIPHER_CTX_new");
    require(init(context.get(), cipher.get(), key.bytes().data(), box.nonce.data(), nullptr),
            "AES-256-GCM init");
    return context;
}

// Without an output, bytes are authenticated only.
template <auto update>
void feed(const CipherContext& context, std::span<const std::uint8_t> in, std::uint8_t* out)
{
    if (in.empty())
        return;
    int done = 0;
    require(update(context.get(), out, &done, in.data(), static_cast<int>(in.size())), "AES-256-GCM update");
}

} // namespace

SealedBox seal_box(const BoxKey& key, std::span<const std::uint8_t> plaintext,
                   std::span<const std::uint8_t> associated)
{
    SealedBox box;
    require(RAND_bytes(box.nonce.data(), static_cast<int>(box.nonce.size())), "RAND_bytes");
    box.sealed.resize(plaintext.size() + tag_size);
    std::uint8_t* const tag = box.sealed.data() + plaintext.size();
    const CipherContext context = begin<EVP_EncryptInit_ex2>(key, box);
    feed<EVP_EncryptUpdate>(context, associated, nullptr);
    feed<EVP_EncryptUpdate>(context, plaintext, box.sealed.data());
    int rest = 0;
    require(EVP_EncryptFinal_ex(context.get(), tag, &rest), "EVP_EncryptFinal_ex");
    require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, tag), "AES-256-GCM tag");
    return box;
}

std::optional<SecretBuffer> open_box(const BoxKey& key, const SealedBox& box,
                                     std::span<const std::uint8_t> associated)
{
    if (box.sealed.size() < tag_size)
        return std::nullopt;
    const auto ciphertext = std::span(box.sealed).first(box.sealed.size() - tag_size);
    std::array<std::uint8_t, tag_size> tag{};
    std::copy(box.sealed.end() - tag_size, box.sealed.end(), tag.begin());
    SecretBuffer plaintext(ciphertext.size());
    const CipherContext context = begin<EVP_DecryptInit_ex2>(key, box);
    require(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag.data()),
            "AES-256-GCM tag");
    feed<EVP_DecryptUpdate>(context, associated, nullptr);
    feed<EVP_DecryptUpdate>(context, ciphertext, plaintext.bytes().data());
    int rest = 0;
    std::array<std::uint8_t, tag_size> none{};
    if (EVP_DecryptFinal_ex(context.get(), none.data(), &rest) <= 0) {
        ERR_clear_error();
        return std::nullopt;
    }
    return plaintext;
}

} // namespace pulsemeter::crypto
