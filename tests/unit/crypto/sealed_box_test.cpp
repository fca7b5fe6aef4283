#include "server/crypto/sealed_box.hpp"
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

namespace {

BoxKey key_of(const std::string& hex)
{
    const auto bytes = from_hex(hex);
    return BoxKey(std::span(bytes).first<32>());
}

const std::string some_key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

} // namespace

BOOST_AUTO_TEST_SUITE(sealed_box)

// Test case 16 of "The Galois/Counter Mode of Operation" (McGrew, Viega).
BOOST_AUTO_TEST_CASE(K3_AES_256_GCM)
{
    SealedBox box;
    const auto nonce = from_hex("cafebabefacedbaddecaf888");
    std::copy(nonce.begin(), nonce.end(), box.nonce.begin());
    box.sealed = from_hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                          "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                          "76fc6ece0f4e1768cddf8853bb2d551b");
    const auto opened = open_box(key_of(some_key), box, from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    BOOST_TEST_REQUIRE(opened.has_value());
    BOOST_TEST(to_hex(opened->bytes()) == "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                                          "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
}

BOOST_AUTO_TEST_CASE(any_length_comes_back_and_no_nonce_twice)
{
    const BoxKey key = key_of(some_key);
    for (std::size_t size = 0; size <= 100; ++size) {
        const std::vector<std::uint8_t> plaintext(size, 0x5a);
        const SealedBox box = seal_box(key, plaintext, to_bytes("public"));
        BOOST_TEST(box.sealed.size() == size + 16);
        const auto opened = open_box(key, box, to_bytes("public"));
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(to_hex(opened->bytes()) == to_hex(plaintext));
        BOOST_TEST((seal_box(key, plaintext, to_bytes("public")).nonce != box.nonce));
    }
}

BOOST_AUTO_TEST_CASE(any_changed_bit_closes_it)
{
    const BoxKey key = key_of(some_key);
    const auto flipped = [](std::size_t bit, auto bytes) {
        bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
        return bytes;
    };
    const auto associated = to_bytes("public");
    const SealedBox box = seal_box(key, to_bytes("secret"), associated);
    BOOST_TEST_REQUIRE(open_box(key, box, associated).has_value());
    for (std::size_t bit = 0; bit < box.sealed.size() * 8; ++bit)
        BOOST_TEST(!open_box(key, {box.nonce, flipped(bit, box.sealed)}, associated).has_value());
    for (std::size_t bit = 0; bit < box.nonce.size() * 8; ++bit)
        BOOST_TEST(!open_box(key, {flipped(bit, box.nonce), box.sealed}, associated).has_value());
    for (std::size_t bit = 0; bit < associated.size() * 8; ++bit)
        BOOST_TEST(!open_box(key, box, flipped(bit, associated)).has_value());
    BOOST_TEST(!open_box(key, box, {}).has_value());
    for (std::size_t size = 0; size < box.sealed.size(); ++size) {
        SealedBox cut = box;
        cut.sealed.resize(size);
        BOOST_TEST(!open_box(key, cut, associated).has_value());
    }
    BOOST_TEST(!open_box(BoxKey(), box, associated).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
