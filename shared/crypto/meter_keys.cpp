#include "shared/crypto/meter_keys.hpp"

#include "shared/crypto/base64url.hpp"
#include "shared/crypto/hkdf.hpp"
#include "shared/crypto/openssl.hpp"

#include <openssl/rand.h>

#include <array>

namespace pulsemeter::crypto {
namespace {

using namespace std::string_view_literals;

std::span<const std::uint8_t> bytes_of(std::string_view text)
{
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// The meter's id ends the info, so that two meters given one master key by mistake still have keys of their
// own.
FernetKey derive_key(const MasterKey& master, std::string_view purpose, const MeterId& meter)
{
    const std::string info = std::string(purpose) + '\0' + meter.text();
    SecretBytes<32> bytes;
    hkdf_sha256(master.bytes(), {}, bytes_of(info), bytes.bytes());
    return FernetKey(bytes.bytes());
}

// A pseudonym: who sees the topic learns neither the meter's id nor anything of its keys.
std::string derive_topic(const MasterKey& master)
{
    std::array<std::uint8_t, 16> bytes{};
    hkdf_sha256(master.bytes(), {}, bytes_of("pulsemeter v1 topic"sv), bytes);
    constexpr std::string_view digits = "0123456789abcdef";
    std::string topic = "pulsemeter/";
    for (const std::uint8_t byte : bytes) {
        topic += digits[byte >> 4];
        topic += digits[byte & 0xf];
    }
    return topic;
}

} // namespace

MasterKey MasterKey::random()
{
    SecretBytes<32> bytes;
    require(RAND_priv_bytes(bytes.bytes().data(), 32), "RAND_priv_bytes");
    return MasterKey(bytes.bytes());
}

std::optional<MasterKey> MasterKey::parse(std::string_view text)
{
    SecretBytes<32> bytes;
    if (decode_base64url(text, bytes.bytes()) != bytes.bytes().size())
        return std::nullopt;
    return MasterKey(bytes.bytes());
}

std::string MasterKey::text() const
{
    return encode_base64url(bytes_.bytes());
}

MeterKeys derive(const MasterKey& master, const MeterId& meter)
{
    const std::string topic = derive_topic(master);
    return {derive_key(master, "pulsemeter v1 up", meter), derive_key(master, "pulsemeter v1 down", meter),
            topic + "/up", topic + "/down"};
}

} // namespace pulsemeter::crypto
