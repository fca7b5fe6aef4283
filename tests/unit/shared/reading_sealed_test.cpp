// Whole messages, from the master key to the payload and back, against tests/vectors/sealed/vectors.json.
#include "shared/crypto/meter_keys.hpp"
#include "shared/protocol.hpp"
#include "tests/unit/shared/vectors.hpp"

#include <algorithm>
#include <map>

namespace pulsemeter {
namespace {

struct Keys {
    std::map<std::string, crypto::MeterKeys> meters;

    Keys()
    {
        for (const json& meter : vectors().at("meters")) {
            const std::string id = meter.at("id");
            const auto master = crypto::MasterKey::parse(meter.at("master_key").get<std::string>());
            BOOST_TEST_REQUIRE(master.has_value());
            meters.emplace(id, crypto::derive(*master, meter_id(id)));
        }
    }

    // By meter and direction, as the topic chooses it.
    [[nodiscard]] crypto::Fernet cipher(const json& vector) const
    {
        const crypto::MeterKeys& keys = meters.at(vector.at("meter"));
        return crypto::Fernet(vector.at("direction") == "up" ? keys.up : keys.down);
    }
};

// "": taken in; "token", or the codec's error in words: refused. In the order that PROTOCOL.md asks for.
std::string verdict(crypto::Fernet cipher, const json& vector)
{
    const std::string token = vector.at("token");
    if (token.size() != sealed_size)
        return "token";
    const auto opened = cipher.open(token);
    if (!opened)
        return "token";
    const MeterId meter = meter_id(vector.at("meter"));
    if (vector.at("direction") == "up") {
        const auto message = decode_up(meter, opened->plaintext);
        return message ? "" : std::string(text(message.error()));
    }
    const auto message = decode_down(meter, opened->plaintext);
    return message ? "" : std::string(text(message.error()));
}

BOOST_FIXTURE_TEST_SUITE(reading_sealed, Keys)

BOOST_AUTO_TEST_CASE(K1_a_master_key_gives_the_keys_and_topics_of_the_vectors)
{
    for (const json& meter : vectors().at("meters")) {
        const crypto::MeterKeys& keys = meters.at(meter.at("id"));
        BOOST_TEST(keys.up.text() == meter.at("up_key").get<std::string>());
        BOOST_TEST(keys.down.text() == meter.at("down_key").get<std::string>());
        BOOST_TEST(keys.up_topic == meter.at("up_topic").get<std::string>());
        BOOST_TEST(keys.down_topic == meter.at("down_topic").get<std::string>());
    }
}

BOOST_AUTO_TEST_CASE(K1_each_vector_is_sealed_to_its_token_and_opened_to_its_plaintext)
{
    for (const json& vector : vectors().at("valid")) {
        BOOST_TEST_CONTEXT(vector.at("name"))
        {
            crypto::Fernet cipher = this->cipher(vector);
            const auto plaintext = from_hex(vector.at("plaintext"));
            const auto timestamp = vector.at("timestamp").get<std::uint64_t>();
            const auto iv_bytes = from_hex(vector.at("iv"));
            crypto::Iv iv{};
            BOOST_TEST_REQUIRE(iv_bytes.size() == iv.size());
            std::copy(iv_bytes.begin(), iv_bytes.end(), iv.begin());

            const std::string token = vector.at("token");
            BOOST_TEST(token.size() == sealed_size);
            BOOST_TEST(cipher.seal(plaintext, timestamp, iv) == token);
            const auto opened = cipher.open(token);
            BOOST_TEST_REQUIRE(opened.has_value());
            BOOST_TEST(opened->plaintext == plaintext, boost::test_tools::per_element());
            BOOST_TEST(opened->timestamp == timestamp);
            BOOST_TEST(verdict(this->cipher(vector), vector) == "");
        }
    }
}

BOOST_AUTO_TEST_CASE(K2_B2_each_token_is_taken_or_refused_as_the_vectors_say)
{
    BOOST_TEST_REQUIRE(vectors().at("tokens").size() > 10U);
    for (const json& vector : vectors().at("tokens")) {
        BOOST_TEST_CONTEXT(vector.at("name"))
        {
            const json& error = vector.at("error");
            std::string expected = error.is_null() ? "" : error.get<std::string>();
            if (expected == "wrong_size")
                expected = text(CodecError::wrong_size);
            BOOST_TEST(verdict(cipher(vector), vector) == expected);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
