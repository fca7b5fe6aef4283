#include "shared/crypto/base64url.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <array>
#include <string>
#include <vector>

using namespace pulsemeter::crypto;
using pulsemeter::test::to_bytes;

namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::optional<std::vector<std::uint8_t>> decode(std::string_view text)
{
    std::vector<std::uint8_t> bytes(base64url_room(text.size()));
    const auto size = decode_base64url(text, bytes);
    if (!size)
        return std::nullopt;
    bytes.resize(*size);
    return bytes;
}

} // namespace

BOOST_AUTO_TEST_SUITE(base64url)

BOOST_AUTO_TEST_CASE(K3_vectors_of_RFC_4648)
{
    const std::array<std::pair<std::string, std::string>, 7> vectors = {{{"", ""},
                                                                         {"f", "Zg=="},
                                                                         {"fo", "Zm8="},
                                                                         {"foo", "Zm9v"},
                                                                         {"foob", "Zm9vYg=="},
                                                                         {"fooba", "Zm9vYmE="},
                                                                         {"foobar", "Zm9vYmFy"}}};
    for (const auto& [plain, text] : vectors) {
        BOOST_TEST(encode_base64url(to_bytes(plain)) == text);
        BOOST_TEST((decode(text) == to_bytes(plain)));
    }
    BOOST_TEST((decode("-_-_") == std::vector<std::uint8_t>{0xfb, 0xff, 0xbf}));
}

BOOST_AUTO_TEST_CASE(K2_other_spellings_are_refused)
{
    for (const std::string text :
         {"Z",      "Zg",    "Zg=",  "Zg===",  "Zm8",   "Zm8==",     "Zg==Zg==", "Zm9v====",
          "====",   "=",     "==",   "Zg==\n", " Zg==", "Zg= =",     "Zm 9",     "+/+/",
          "Zm9v\n", "Zm9=v", "Z===", "Zg=a",   "Zm9v=", "\xc3\xa4Zg"})
        BOOST_TEST(!decode(text), "accepted: " << text);
    BOOST_TEST(!decode(std::string("Zm9\0", 4)));
}

BOOST_AUTO_TEST_CASE(K2_trailing_bits_must_be_zero)
{
    for (const char second : alphabet) {
        const bool canonical = alphabet.find(second) % 16 == 0;
        BOOST_TEST(decode(std::string("Z") + second + "==").has_value() == canonical);
    }
    for (const char third : alphabet) {
        const bool canonical = alphabet.find(third) % 4 == 0;
        BOOST_TEST(decode(std::string("Zm") + third + "=").has_value() == canonical);
    }
}

BOOST_AUTO_TEST_CASE(K2_only_the_alphabet_at_every_place)
{
    for (std::size_t place = 0; place < 8; ++place) {
        for (int c = 0; c < 256; ++c) {
            std::string text = "AAAAAAAA";
            text[place] = static_cast<char>(c);
            const bool allowed = alphabet.find(static_cast<char>(c)) != std::string_view::npos;
            const bool padding = c == '=' && place == 7;
            BOOST_TEST(decode(text).has_value() == (allowed || padding), "place " << place << ", byte " << c);
        }
    }
}

BOOST_AUTO_TEST_CASE(K2_what_decodes_has_one_spelling)
{
    BOOST_TEST(rc::check("every byte string survives", [](const std::vector<std::uint8_t>& bytes) {
        RC_ASSERT(decode(encode_base64url(bytes)) == bytes);
    }));
    // Drawn near the alphabet, else next to nothing decodes.
    const auto text = rc::gen::container<std::string>(
        rc::gen::weightedOneOf<char>({{20, rc::gen::elementOf(std::string(alphabet))},
                                      {2, rc::gen::just('=')},
                                      {1, rc::gen::arbitrary<char>()}}));
    BOOST_TEST(rc::check("a text that decodes is the one that encodes", [&text] {
        const std::string candidate = *text;
        const auto bytes = decode(candidate);
        if (bytes)
            RC_ASSERT(encode_base64url(*bytes) == candidate);
        RC_TAG(bytes ? "decodes" : "refused");
    }));
}

BOOST_AUTO_TEST_CASE(never_writes_past_the_room_given)
{
    std::array<std::uint8_t, 3> room{};
    BOOST_TEST(!decode_base64url("Zm9vYg==", room));
    BOOST_TEST((decode_base64url("Zm9v", room) == std::optional<std::size_t>(3)));
    BOOST_TEST((decode_base64url("Zg==", std::span(room).first<1>()) == std::optional<std::size_t>(1)));
}

BOOST_AUTO_TEST_SUITE_END()
