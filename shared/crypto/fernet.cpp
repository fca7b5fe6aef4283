#include "shared/crypto/fernet.hpp"

#include "shared/crypto/base64url.hpp"
#include "shared/crypto/hmac.hpp"
#include "shared/crypto/openssl.hpp"
#include "shared/ensure.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

namespace pulsemeter::crypto {
namespace {

// version | timestamp, big-endian | IV | ciphertext, whole blocks | HMAC of all before it
constexpr std::uint8_t version = 0x80;
constexpr std::size_t timestamp_at = 1;
constexpr std::size_t iv_at = 9;
constexpr std::size_t ciphertext_at = 25;
constexpr std::size_t mac_size = 32;
constexpr std::size_t block_size = 16;

using Bytes = std::span<const std::uint8_t>;

const EVP_CIPHER* aes_128_cbc()
{
    static const Cipher cipher =
        required(Cipher(EVP_CIPHER_fetch(nullptr, "AES-128-CBC", nullptr)), "EVP_CIPHER_fetch");
    return cipher.get();
}

// The key schedule is made here, once; a token then only sets its IV.
template <auto init>
CipherContext keyed_cipher(Bytes key)
{
    CipherContext context = required(CipherContext(EVP_CIPHER_CTX_new()), "EVP_CIPHER_CTX_new");
    require(init(context.get(), aes_128_cbc(), key.data(), nullptr, nullptr), "EVP cipher init");
    return context;
}

void write_big_endian(std::uint64_t value, std::uint8_t* out)
{
    for (unsigned shift = 64; shift != 0; shift -= 8)
        *out++ = static_cast<std::uint8_t>(value >> (shift - 8));
}

std::uint64_t read_big_endian(Bytes bytes)
{
    std::uint64_t value = 0;
    for (const std::uint8_t byte : bytes)
        value = (value << 8) | byte;
    return value;
}

// Differences instead of sums: a timestamp may be anything up to 2^64-1.
bool too_old(std::uint64_t timestamp, const AgeLimit& age)
{
    return age.now > timestamp && age.now - timestamp > age.ttl;
}

bool too_far_ahead(std::uint64_t timestamp, const AgeLimit& age)
{
    return timestamp > age.now && timestamp - age.now > age.max_skew;
}

// A token whose MAC is right. Only authenticate() makes one and only of one does decrypt() take bytes, so
// that nothing can be decrypted before.
class Authentic {
public:
    [[nodiscard]] std::uint64_t timestamp() const
    {
        return read_big_endian(signed_.subspan(timestamp_at, 8));
    }
    [[nodiscard]] Bytes iv() const { return signed_.subspan(iv_at, block_size); }
    [[nodiscard]] Bytes ciphertext() const { return signed_.subspan(ciphertext_at); }

    [[nodiscard]] static std::optional<Authentic> authenticate(HmacSha256& hmac, Bytes token)
    {
        const Bytes content = token.first(token.size() - mac_size);
        const HmacSha256::Mac mac = hmac.mac(content);
        if (CRYPTO_memcmp(mac.data(), token.last(mac_size).data(), mac_size) != 0)
            return std::nullopt;
        return Authentic(content);
    }

private:
    explicit Authentic(Bytes content) : signed_(content) {}
    Bytes signed_;
};

} // namespace

std::optional<FernetKey> FernetKey::parse(std::string_view text)
{
    SecretBytes<32> bytes;
    if (decode_base64url(text, bytes.bytes()) != bytes.bytes().size())
        return std::nullopt;
    return FernetKey(bytes.bytes());
}

std::string FernetKey::text() const
{
    return encode_base64url(bytes_.bytes());
}

Iv random_iv()
{
    Iv iv{};
    require(RAND_bytes(iv.data(), static_cast<int>(iv.size())), "RAND_bytes");
    return iv;
}

struct Fernet::Impl {
    HmacSha256 hmac;
    CipherContext encryption;
    CipherContext decryption;
    std::vector<std::uint8_t> token; // kept for its memory

    explicit Impl(const FernetKey& key)
        : hmac(key.bytes().first<16>()),
          encryption(keyed_cipher<EVP_EncryptInit_ex2>(key.bytes().last<16>())),
          decryption(keyed_cipher<EVP_DecryptInit_ex2>(key.bytes().last<16>()))
    {
    }

    void encrypt(Bytes plaintext, const Iv& iv, std::uint8_t* out)
    {
        int done = 0;
        int rest = 0;
        require(EVP_EncryptInit_ex2(encryption.get(), nullptr, nullptr, iv.data(), nullptr),
                "EVP_EncryptInit_ex2");
        require(EVP_EncryptUpdate(encryption.get(), out, &done, plaintext.data(),
                                  static_cast<int>(plaintext.size())),
                "EVP_EncryptUpdate");
        require(EVP_EncryptFinal_ex(encryption.get(), out + done, &rest), "EVP_EncryptFinal_ex");
    }

    [[nodiscard]] std::optional<std::vector<std::uint8_t>> decrypt(const Authentic& token_bytes)
    {
        const Bytes ciphertext = token_bytes.ciphertext();
        std::vector<std::uint8_t> plaintext(ciphertext.size());
        int done = 0;
        int rest = 0;
        require(EVP_DecryptInit_ex2(decryption.get(), nullptr, nullptr, token_bytes.iv().data(), nullptr),
                "EVP_DecryptInit_ex2");
        require(EVP_DecryptUpdate(decryption.get(), plaintext.data(), &done, ciphertext.data(),
                                  static_cast<int>(ciphertext.size())),
                "EVP_DecryptUpdate");
        if (EVP_DecryptFinal_ex(decryption.get(), plaintext.data() + done, &rest) <= 0) {
            OPENSSL_cleanse(plaintext.data(), plaintext.size());
            ERR_clear_error(); // wrong padding under a right MAC: the sender's doing, no failure of ours
            return std::nullopt;
        }
        plaintext.resize(static_cast<std::size_t>(done) + static_cast<std::size_t>(rest));
        return plaintext;
    }
};

Fernet::Fernet(const FernetKey& key) : impl_(std::make_unique<Impl>(key)) {}
Fernet::Fernet(Fernet&&) noexcept = default;
Fernet& Fernet::operator=(Fernet&&) noexcept = default;
Fernet::~Fernet() = default;

std::string Fernet::seal(std::span<const std::uint8_t> plaintext, std::uint64_t now, const Iv& iv)
{
    ENSURE(plaintext.size() <= largest_plaintext, "a token has at most longest_token characters");
    const std::size_t content_size = ciphertext_at + (plaintext.size() / block_size + 1) * block_size;
    std::vector<std::uint8_t>& token = impl_->token;
    token.resize(content_size + mac_size);
    token[0] = version;
    write_big_endian(now, token.data() + timestamp_at);
    std::copy(iv.begin(), iv.end(), token.data() + iv_at);
    impl_->encrypt(plaintext, iv, token.data() + ciphertext_at);
    const HmacSha256::Mac mac = impl_->hmac.mac(std::span(token).first(content_size));
    std::copy(mac.begin(), mac.end(), token.data() + content_size);
    return encode_base64url(token);
}

// The order of the specification: base64url, version, age, HMAC, decrypt, unpad. The length goes before the
// age, because a shorter token has no timestamp.
tl::expected<Opened, FernetError> Fernet::open(std::string_view text, const std::optional<AgeLimit>& age)
{
    const auto invalid = tl::make_unexpected(FernetError::invalid);
    if (text.size() > longest_token)
        return invalid;
    std::vector<std::uint8_t>& buffer = impl_->token;
    buffer.resize(base64url_room(text.size()));
    const std::optional<std::size_t> size = decode_base64url(text, buffer);
    if (!size)
        return invalid;
    const Bytes token = Bytes(buffer).first(*size);
    if (token.empty() || token[0] != version)
        return invalid;
    if (token.size() < ciphertext_at + block_size + mac_size ||
        (token.size() - ciphertext_at - mac_size) % block_size != 0)
        return invalid;
    if (const std::uint64_t timestamp = read_big_endian(token.subspan(timestamp_at, 8));
        age && (too_old(timestamp, *age) || too_far_ahead(timestamp, *age)))
        return invalid;
    const std::optional<Authentic> authentic = Authentic::authenticate(impl_->hmac, token);
    if (!authentic)
        return invalid;
    std::optional<std::vector<std::uint8_t>> plaintext = impl_->decrypt(*authentic);
    if (!plaintext)
        return invalid;
    return Opened{std::move(*plaintext), authentic->timestamp()};
}

} // namespace pulsemeter::crypto
