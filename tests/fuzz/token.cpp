// A token from the broker. The first byte chooses how deep the rest begins: as the text itself, as the bytes under the
// base64url, or as what a right HMAC already covers (what only a holder of the key could send).
#include "shared/crypto/base64url.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/crypto/hmac.hpp"
#include "tests/fuzz/require.hpp"

#include <algorithm>

using namespace pulsemeter::crypto;

namespace {

FernetKey test_key()
{
    std::array<std::uint8_t, 32> bytes{};
    std::fill(bytes.begin(), bytes.end(), std::uint8_t{0x5a});
    return FernetKey(bytes);
}

std::string token_of(std::uint8_t depth, std::span<const std::uint8_t> rest)
{
    std::vector<std::uint8_t> bytes(rest.begin(), rest.end());
    switch (depth % 3) {
    case 0:
        return {rest.begin(), rest.end()};
    case 1:
        break;
    default:
        static HmacSha256 hmac(test_key().bytes().first<16>());
        const auto mac = hmac.mac(bytes);
        bytes.insert(bytes.end(), mac.begin(), mac.end());
    }
    return encode_base64url(bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    static Fernet fernet(test_key());
    const std::string token = token_of(data[0], std::span(data, size).subspan(1));
    const auto opened = fernet.open(token);
    (void)fernet.open(token, AgeLimit{.now = 1'700'000'000, .ttl = 60});
    if (!opened)
        return 0;
    // A token has one spelling: sealed again it is the same.
    std::vector<std::uint8_t> bytes(base64url_room(token.size()));
    REQUIRE(decode_base64url(token, bytes).has_value());
    Iv iv{};
    std::copy_n(bytes.begin() + 9, iv.size(), iv.begin());
    REQUIRE(fernet.seal(opened->plaintext, opened->timestamp, iv) == token);
    return 0;
}
