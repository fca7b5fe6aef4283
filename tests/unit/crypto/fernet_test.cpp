// Rows K1, K2 and K5: the vectors of the Fernet specification (tests/vectors/fernet, as pyca/cryptography
// ships them), three tokens of the Python programs, and cases of our own.
#include "shared/crypto/base64url.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/crypto/hmac.hpp"
#include "tests/unit/crypto/call_counts.hpp"
#include "tests/unit/crypto/hex.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <rapidcheck.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace pulsemeter::crypto;
using pulsemeter::test::CallCounts;
using pulsemeter::test::to_bytes;

namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint64_t latest = std::numeric_limits<std::uint64_t>::max();

nlohmann::json read_vectors(const std::string& name)
{
    std::ifstream file(std::string(TESTS_DIR "/vectors/fernet/") + name);
    BOOST_TEST_REQUIRE(file.is_open());
    return nlohmann::json::parse(file);
}

// "1985-10-26T01:20:00-07:00", the only form in the specification's vectors.
std::uint64_t seconds_since_1970(const std::string& text)
{
    int year = 0;
    unsigned month = 0;
    unsigned day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int zone = 0;
    // NOLINTNEXTLINE(cert-err34-c): the files are ours and the count is checked
    BOOST_TEST_REQUIRE(std::sscanf(text.c_str(), "%d-%u-%uT%d:%d:%d%d:00", &year, &month, &day, &hour,
                                   &minute, &second, &zone) == 7);
    const auto date = std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day);
    const auto time = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour - zone) +
                      std::chrono::minutes(minute) + std::chrono::seconds(second);
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

Fernet fernet_of(const std::string& key)
{
    const auto parsed = FernetKey::parse(key);
    BOOST_TEST_REQUIRE(parsed.has_value());
    return Fernet(*parsed);
}

std::string as_text(const Bytes& bytes)
{
    return {bytes.begin(), bytes.end()};
}

const std::string spec_key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
constexpr Iv some_iv = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

Bytes raw(const std::string& token)
{
    Bytes bytes(base64url_room(token.size()));
    const auto size = decode_base64url(token, bytes);
    BOOST_TEST_REQUIRE(size.has_value());
    bytes.resize(*size);
    return bytes;
}

// The token with its content replaced and a right MAC put under it: what only a holder of the key can make.
std::string sign(Bytes content)
{
    const auto key = FernetKey::parse(spec_key);
    BOOST_TEST_REQUIRE(key.has_value());
    const auto mac = HmacSha256(key->bytes().first<16>()).mac(content);
    content.insert(content.end(), mac.begin(), mac.end());
    return encode_base64url(content);
}

Bytes content_of(const std::string& token)
{
    Bytes bytes = raw(token);
    bytes.resize(bytes.size() - 32);
    return bytes;
}

} // namespace

BOOST_AUTO_TEST_SUITE(fernet)

BOOST_AUTO_TEST_CASE(K1_generate_vectors)
{
    const auto vectors = read_vectors("generate.json");
    BOOST_TEST_REQUIRE(vectors.size() == 1U);
    for (const auto& vector : vectors) {
        Fernet fernet = fernet_of(vector.at("secret"));
        const std::string token =
            fernet.seal(to_bytes(vector.at("src").get<std::string>()), seconds_since_1970(vector.at("now")),
                        vector.at("iv").get<Iv>());
        BOOST_TEST(token == vector.at("token").get<std::string>());
    }
}

BOOST_AUTO_TEST_CASE(K1_verify_vectors)
{
    const auto vectors = read_vectors("verify.json");
    BOOST_TEST_REQUIRE(vectors.size() == 1U);
    for (const auto& vector : vectors) {
        const auto opened =
            fernet_of(vector.at("secret"))
                .open(vector.at("token").get<std::string>(),
                      AgeLimit{.now = seconds_since_1970(vector.at("now")), .ttl = vector.at("ttl_sec")});
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(as_text(opened->plaintext) == vector.at("src").get<std::string>());
        BOOST_TEST(opened->timestamp == 499162800U);
    }
}

BOOST_AUTO_TEST_CASE(K1_invalid_vectors)
{
    const auto vectors = read_vectors("invalid.json");
    BOOST_TEST_REQUIRE(vectors.size() == 8U);
    for (const auto& vector : vectors) {
        const std::string what = vector.at("desc");
        const std::string token = vector.at("token");
        Fernet fernet = fernet_of(vector.at("secret"));
        const AgeLimit age{.now = seconds_since_1970(vector.at("now")), .ttl = vector.at("ttl_sec")};
        BOOST_TEST(!fernet.open(token, age).has_value(), what);
        // Two are wrong by their age only.
        const bool by_age = what == "expired TTL" || what == "far-future TS (unacceptable clock skew)";
        BOOST_TEST(fernet.open(token).has_value() == by_age, what << ", without an age limit");
    }
}

BOOST_AUTO_TEST_CASE(K1_real_tokens_of_the_Python_programs)
{
    struct Real {
        std::string token;
        std::string total;
        std::uint64_t timestamp;
    };
    const std::array<Real, 3> tokens = {
        {{"gAAAAABjJh-ggjEprmISiulhyDIVqwRIgHJnSjdNsIdv_rCJ4rUWOWNYdKSV3IHB3GuWZ__PA0HtlS5aKMwbvmcSnFBiNes1-"
          "w==",
          "48", 1663442848},
         {"gAAAAABjJh-iO1LtsJEIiRjizOdHGQvvjRlFwRegtOcY4BX7oGT6q5-Ir5HtHt60W4Wy16Qr3O-46_0L-"
          "hyfYhHUDZD32A3HYQ==",
          "48", 1663442850},
         {"gAAAAABjJh-"
          "kBWxOWLFy3DZezipMXjHoGF0IvfvwabG7JD66KQusZ3Y0UzeFtlW9qbCvVW40ZbQO2LvVjsgk8BcIj2r6fUf2aA==",
          "52", 1663442852}}};
    Fernet fernet = fernet_of("70JZaJg4c5F7RIOhrSXNjq0Y0iGp1QtBy2gyVMSdHHY=");
    for (const Real& real : tokens) {
        const auto opened = fernet.open(real.token);
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(as_text(opened->plaintext) == real.total);
        BOOST_TEST(opened->timestamp == real.timestamp);
        BOOST_TEST(!fernet_of(spec_key).open(real.token).has_value());
    }
}

BOOST_AUTO_TEST_CASE(K1_every_plaintext_length_up_to_a_few_blocks_and_the_largest)
{
    Fernet fernet = fernet_of(spec_key);
    std::vector<std::size_t> sizes = {largest_plaintext};
    for (std::size_t size = 0; size <= 80; ++size)
        sizes.push_back(size);
    for (const std::size_t size : sizes) {
        const Bytes plaintext(size, 0x5a);
        const std::string token = fernet.seal(plaintext, 7, some_iv);
        BOOST_TEST(raw(token).size() == 25 + (size / 16 + 1) * 16 + 32);
        BOOST_TEST(token.size() <= longest_token);
        const auto opened = fernet.open(token);
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST((opened->plaintext == plaintext));
    }
}

BOOST_AUTO_TEST_CASE(K1_an_overlong_token_is_refused_unread)
{
    Fernet fernet = fernet_of(spec_key);
    const CallCounts before = CallCounts::now();
    BOOST_TEST(!fernet.open(std::string(longest_token + 4, 'A')).has_value());
    // One block more than seal() makes, and right in every other way.
    Bytes content = content_of(fernet.seal(Bytes(largest_plaintext), 0, some_iv));
    content.insert(content.end(), 16, 0);
    BOOST_TEST(!fernet.open(sign(content)).has_value());
    BOOST_TEST((CallCounts::now() - before).comparisons == 0);
}

BOOST_AUTO_TEST_CASE(K1_other_versions_are_refused)
{
    Fernet fernet = fernet_of(spec_key);
    for (unsigned version = 0; version < 256; ++version) {
        Bytes content = content_of(fernet.seal(to_bytes("48"), 1, some_iv));
        content[0] = static_cast<std::uint8_t>(version);
        BOOST_TEST(fernet.open(sign(content)).has_value() == (version == 0x80));
    }
}

// With a right MAC wherever there is room for one, so that the length alone decides.
BOOST_AUTO_TEST_CASE(K1_every_raw_length_from_0_to_140)
{
    Fernet fernet = fernet_of(spec_key);
    const Bytes whole = raw(fernet.seal(Bytes(47, 'x'), 1, some_iv));
    for (std::size_t size = 0; size <= 140; ++size) {
        Bytes bytes = whole;
        bytes.resize(size);
        BOOST_TEST((fernet.open(encode_base64url(bytes)).has_value()) == (size == whole.size()),
                   "length " << size);
        if (size < 32)
            continue;
        Bytes content = whole;
        content.resize(size - 32);
        const CallCounts before = CallCounts::now();
        const bool opened = fernet.open(sign(content)).has_value();
        const CallCounts calls = CallCounts::now() - before;
        // One block is the least: a shorter token must not make the block count go below zero.
        const bool possible = size >= 73 && (size - 57) % 16 == 0;
        BOOST_TEST(calls.decryptions == (possible ? 1 : 0), "length " << size);
        BOOST_TEST((!opened || possible), "length " << size);
    }
}

BOOST_AUTO_TEST_CASE(K1_age_and_skew_edges)
{
    Fernet fernet = fernet_of(spec_key);
    const auto opens = [&](std::uint64_t timestamp, AgeLimit age) {
        return fernet.open(fernet.seal(to_bytes("48"), timestamp, some_iv), age).has_value();
    };
    BOOST_TEST(opens(1000, {.now = 1060, .ttl = 60}));
    BOOST_TEST(!opens(1000, {.now = 1061, .ttl = 60}));
    BOOST_TEST(opens(1060, {.now = 1000, .ttl = 60}));
    BOOST_TEST(!opens(1061, {.now = 1000, .ttl = 60}));
    BOOST_TEST(opens(1000, {.now = 1000, .ttl = 0, .max_skew = 0}));
    BOOST_TEST(!opens(999, {.now = 1000, .ttl = 0, .max_skew = 0}));
    BOOST_TEST(!opens(1001, {.now = 1000, .ttl = 0, .max_skew = 0}));
    BOOST_TEST(opens(0, {.now = latest, .ttl = latest}));
    BOOST_TEST(!opens(0, {.now = latest, .ttl = latest - 1}));
    BOOST_TEST(opens(latest, {.now = 0, .ttl = 0, .max_skew = latest}));
    BOOST_TEST(!opens(latest, {.now = 0, .ttl = latest, .max_skew = latest - 1}));
    BOOST_TEST(!opens(latest, {.now = 1663442848, .ttl = 60}));
    BOOST_TEST(!opens(std::uint64_t{1} << 63, {.now = 1663442848, .ttl = 60}));
}

BOOST_AUTO_TEST_CASE(K1_any_timestamp_survives)
{
    Fernet fernet = fernet_of(spec_key);
    for (const std::uint64_t timestamp :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{1} << 63, latest}) {
        const auto opened = fernet.open(fernet.seal(to_bytes("48"), timestamp, some_iv));
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(opened->timestamp == timestamp);
    }
}

BOOST_AUTO_TEST_CASE(K2_re_encodings_of_one_token_are_refused)
{
    const std::string token = read_vectors("verify.json").at(0).at("token");
    const std::string body = token.substr(0, token.size() - 2);
    BOOST_TEST_REQUIRE(token.ends_with("DA=="));
    Fernet fernet = fernet_of(spec_key);
    BOOST_TEST_REQUIRE(fernet.open(token).has_value());

    std::vector<std::string> spellings = {
        body,           body + "=",  token + "=",   token + "==",   token + "\n",
        token + "\r\n", " " + token, token + token, token + "AAAA", token + std::string(1, '\0')};
    for (const char trailing : std::string("BCDEFGHIJKLMNOP")) // the same last byte with unused bits set
        spellings.push_back(token.substr(0, token.size() - 3) + trailing + "==");
    for (std::size_t place = 0; place <= token.size(); ++place) {
        for (const char c : std::string("\n\t =")) {
            std::string spelling = token;
            spellings.push_back(spelling.insert(place, 1, c));
        }
    }
    std::string other_alphabet = token;
    for (char& c : other_alphabet)
        c = c == '-' ? '+' : c == '_' ? '/' : c;
    BOOST_TEST_REQUIRE(other_alphabet != token);
    spellings.push_back(other_alphabet);

    const CallCounts before = CallCounts::now();
    for (const std::string& spelling : spellings)
        BOOST_TEST(!fernet.open(spelling).has_value(), "opened: " << spelling);
    BOOST_TEST((CallCounts::now() - before).comparisons == 0); // none came as far as its MAC
}

BOOST_AUTO_TEST_CASE(K5_nothing_is_decrypted_before_its_MAC_is_right)
{
    Fernet fernet = fernet_of(spec_key);
    const Bytes good = raw(fernet.seal(Bytes(20, 'x'), 1000, some_iv));
    const CallCounts before = CallCounts::now();
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        Bytes bad = good;
        bad[bit / 8] = static_cast<std::uint8_t>(bad[bit / 8] ^ (1U << (bit % 8)));
        const auto opened = fernet.open(encode_base64url(bad));
        BOOST_TEST(!opened.has_value(), "bit " << bit);
    }
    const CallCounts calls = CallCounts::now() - before;
    BOOST_TEST(calls.decryptions == 0);
    BOOST_TEST(calls.comparisons ==
               (static_cast<int>(good.size()) - 1) * 8); // a wrong version is refused before
    // The counter does count.
    BOOST_TEST(fernet.open(encode_base64url(good)).has_value());
    BOOST_TEST((CallCounts::now() - before).decryptions == 1);
}

BOOST_AUTO_TEST_CASE(K5_age_is_checked_before_the_MAC)
{
    Fernet fernet = fernet_of(spec_key);
    const std::string token = fernet.seal(to_bytes("48"), 1000, some_iv);
    const CallCounts before = CallCounts::now();
    BOOST_TEST(!fernet.open(token, AgeLimit{.now = 2000, .ttl = 60}).has_value());
    BOOST_TEST(!fernet.open(token, AgeLimit{.now = 900, .ttl = 60}).has_value());
    BOOST_TEST((CallCounts::now() - before).comparisons == 0);
}

BOOST_AUTO_TEST_CASE(K5_every_cause_has_the_same_error)
{
    Fernet fernet = fernet_of(spec_key);
    std::vector<FernetError> errors;
    for (const auto& vector : read_vectors("invalid.json")) {
        const auto opened =
            fernet.open(vector.at("token").get<std::string>(),
                        AgeLimit{.now = seconds_since_1970(vector.at("now")), .ttl = vector.at("ttl_sec")});
        BOOST_TEST_REQUIRE(!opened.has_value());
        errors.push_back(opened.error());
    }
    BOOST_TEST((errors == std::vector<FernetError>(8, FernetError::invalid)));
}

BOOST_AUTO_TEST_CASE(a_refused_token_leaves_the_object_as_good_as_new)
{
    Fernet fernet = fernet_of(spec_key);
    const std::string good = read_vectors("verify.json").at(0).at("token");
    for (const auto& vector : read_vectors("invalid.json")) {
        (void)fernet.open(vector.at("token").get<std::string>());
        const auto opened = fernet.open(good);
        BOOST_TEST_REQUIRE(opened.has_value());
        BOOST_TEST(as_text(opened->plaintext) == "hello");
    }
    Fernet moved = std::move(fernet);
    BOOST_TEST(moved.open(good).has_value());
}

BOOST_AUTO_TEST_CASE(property_what_is_sealed_opens_and_junk_does_not)
{
    Fernet fernet = fernet_of(spec_key);
    BOOST_TEST(rc::check("round trip", [&](const Bytes& plaintext, std::uint64_t timestamp, const Iv& iv) {
        const auto opened = fernet.open(fernet.seal(plaintext, timestamp, iv));
        RC_ASSERT(opened.has_value());
        RC_ASSERT(opened->plaintext == plaintext);
        RC_ASSERT(opened->timestamp == timestamp);
    }));
    BOOST_TEST(rc::check("junk is refused", [&](Bytes junk) {
        junk.insert(junk.begin(), 0x80);
        RC_ASSERT(!fernet.open(encode_base64url(junk)).has_value());
    }));
}

BOOST_AUTO_TEST_CASE(keys_have_one_spelling_and_32_bytes)
{
    const auto key = FernetKey::parse(spec_key);
    BOOST_TEST_REQUIRE(key.has_value());
    BOOST_TEST(key->text() == spec_key);
    for (const std::string text :
         {"", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4",
          "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e5=", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4Q==",
          "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4AAA==", "48"})
        BOOST_TEST(!FernetKey::parse(text).has_value(), "accepted: " << text);
}

BOOST_AUTO_TEST_CASE(random_IVs_differ)
{
    BOOST_TEST((random_iv() != random_iv()));
}

BOOST_AUTO_TEST_SUITE_END()
