// Row K3: the primitives as we use them, against the vectors of their RFCs.
#include "shared/crypto/base64url.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/crypto/hkdf.hpp"
#include "shared/crypto/hmac.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using namespace pulsemeter::crypto;
using pulsemeter::test::from_hex;
using pulsemeter::test::to_bytes;
using pulsemeter::test::to_hex;

BOOST_AUTO_TEST_SUITE(primitives)

// Cases 6 and 7 of the RFC have keys longer than a block, which we refuse (a Fernet signing key has 16
// bytes).
BOOST_AUTO_TEST_CASE(K3_RFC_4231_HMAC_SHA_256)
{
    const auto mac = [](const std::vector<std::uint8_t>& key, const std::vector<std::uint8_t>& data) {
        return to_hex(HmacSha256(key).mac(data));
    };
    BOOST_TEST(mac(std::vector<std::uint8_t>(20, 0x0b), to_bytes("Hi There")) ==
               "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    BOOST_TEST(mac(to_bytes("Jefe"), to_bytes("what do ya want for nothing?")) ==
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    BOOST_TEST(mac(std::vector<std::uint8_t>(20, 0xaa), std::vector<std::uint8_t>(50, 0xdd)) ==
               "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    BOOST_TEST(mac(from_hex("0102030405060708090a0b0c0d0e0f10111213141516171819"),
                   std::vector<std::uint8_t>(50, 0xcd)) ==
               "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    BOOST_TEST(mac(std::vector<std::uint8_t>(20, 0x0c), to_bytes("Test With Truncation")).substr(0, 32) ==
               "a3b6167473100ee06e0c796c2955552b");
}

BOOST_AUTO_TEST_CASE(K3_one_HMAC_object_makes_many_MACs)
{
    HmacSha256 hmac(to_bytes("Jefe"));
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(to_hex(hmac.mac(to_bytes("what do ya want for nothing?"))) ==
                   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}

// The RFC's blocks are the first of a token's ciphertext; Fernet's block of padding comes after them.
BOOST_AUTO_TEST_CASE(K3_RFC_3602_AES_128_CBC)
{
    struct Vector {
        std::string key;
        std::string iv;
        std::vector<std::uint8_t> plaintext;
        std::string ciphertext;
    };
    const std::vector<Vector> vectors = {
        {"06a9214036b8a15b512e03d534120006", "3dafba429d9eb430b422da802c9fac41", to_bytes("Single block msg"),
         "e353779c1079aeb82708942dbe77181a"},
        {"c286696d887c9aa0611bbb3e2025a45a", "562e17996d093d28ddb3ba695a2e6f58",
         from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
         "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1"},
        {"6c3ea0477630ce21a2ce334aa746c2cd", "c782dc4c098c66cbd9cd27d825682c81",
         to_bytes("This is a 48-byte message (exactly 3 AES blocks)"),
         "d0a02b3836451753d493665d33f0e8862dea54cdb293abc7506939276772f8d5021c19216bad525c8579695d83ba2684"},
        {"56e47a38c5598974bc46903dba290349", "8ce82eefbea0da3c44699ed7db51b7d9",
         from_hex("a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf"
                  "c0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedf"),
         "c30e32ffedc0774e6aff6af0869f71aa0f3af07a9a31a9c684db207eb0ef8e4e"
         "35907aa632c3ffdf868bb7b29d3d46ad83ce9f9a102ee99d49a53e87f4c3da55"}};
    for (const Vector& vector : vectors) {
        std::array<std::uint8_t, 32> key_bytes{};
        const auto key_half = from_hex(vector.key);
        std::copy(key_half.begin(), key_half.end(), key_bytes.begin() + 16);
        Iv iv{};
        const auto iv_bytes = from_hex(vector.iv);
        std::copy(iv_bytes.begin(), iv_bytes.end(), iv.begin());

        Fernet fernet{FernetKey(key_bytes)};
        const std::string token = fernet.seal(vector.plaintext, 0, iv);
        std::vector<std::uint8_t> bytes(base64url_room(token.size()));
        BOOST_TEST_REQUIRE(decode_base64url(token, bytes).has_value());
        BOOST_TEST(to_hex(std::span(bytes).subspan(25, vector.plaintext.size())) == vector.ciphertext);
        const auto opened = fernet.open(token);
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(to_hex(opened->plaintext) == to_hex(vector.plaintext));
    }
}

BOOST_AUTO_TEST_CASE(K3_RFC_5869_HKDF_SHA_256)
{
    const auto ascending = [](unsigned first, std::size_t size) {
        std::vector<std::uint8_t> bytes(size);
        for (std::size_t i = 0; i < size; ++i)
            bytes[i] = static_cast<std::uint8_t>(first + i);
        return bytes;
    };
    const auto hkdf = [](const std::vector<std::uint8_t>& key_material, const std::vector<std::uint8_t>& salt,
                         const std::vector<std::uint8_t>& info, std::size_t size) {
        std::vector<std::uint8_t> out(size);
        hkdf_sha256(key_material, salt, info, out);
        return to_hex(out);
    };
    const std::vector<std::uint8_t> ikm(22, 0x0b);
    BOOST_TEST(hkdf(ikm, ascending(0x00, 13), ascending(0xf0, 10), 42) ==
               "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    BOOST_TEST(hkdf(ascending(0x00, 80), ascending(0x60, 80), ascending(0xb0, 80), 82) ==
               "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
               "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f34"
               "34f1d87");
    BOOST_TEST(hkdf(ikm, {}, {}, 42) ==
               "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

BOOST_AUTO_TEST_SUITE_END()
