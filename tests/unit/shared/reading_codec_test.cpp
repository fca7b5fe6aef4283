// The codec against tests/vectors/sealed/vectors.json, which a Python program wrote apart from this code.
#include "shared/reading_codec.hpp"
#include "tests/unit/shared/vectors.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace pulsemeter {
namespace {

// 64-bit integers are decimal strings in the file, the smaller ones numbers.
template <typename Integer>
Integer integer(const json& fields, const char* name)
{
    const json& field = fields.at(name);
    if constexpr (sizeof(Integer) == 8) {
        return static_cast<Integer>(std::stoull(field.get<std::string>()));
    } else {
        return field.get<Integer>();
    }
}

std::array<std::uint8_t, 16> sixteen(const json& fields, const char* name)
{
    const auto bytes = from_hex(fields.at(name));
    std::array<std::uint8_t, 16> result{};
    BOOST_TEST_REQUIRE(bytes.size() == result.size());
    std::copy(bytes.begin(), bytes.end(), result.begin());
    return result;
}

Epoch epoch(const json& fields, const char* name = "epoch")
{
    return {integer<std::uint32_t>(fields, name)};
}
Sequence sequence(const json& fields, const char* name = "sequence")
{
    return {integer<std::uint64_t>(fields, name)};
}
Pulses total(const json& fields)
{
    return {integer<std::uint64_t>(fields, "total")};
}
MeterConstant constant(const json& fields)
{
    return {integer<std::uint32_t>(fields, "imp_per_kwh")};
}
MilliwattHours start(const json& fields)
{
    return {integer<std::uint64_t>(fields, "start")};
}
Source source(const json& fields)
{
    return static_cast<Source>(integer<std::uint8_t>(fields, "source"));
}

Reading reading(const json& fields)
{
    Reading reading;
    reading.epoch = epoch(fields);
    reading.sequence = sequence(fields);
    reading.total = total(fields);
    reading.constant = constant(fields);
    reading.start = start(fields);
    reading.measured_at = WallTime(std::chrono::milliseconds(integer<std::int64_t>(fields, "measured_at")));
    reading.clock = static_cast<Clock>(integer<std::uint8_t>(fields, "clock"));
    reading.source = source(fields);
    reading.boot = sixteen(fields, "boot");
    reading.uptime = Uptime(integer<std::int64_t>(fields, "uptime"));
    reading.quality.glitches = integer<std::uint32_t>(fields, "glitches");
    reading.quality.missed_edges = integer<std::uint32_t>(fields, "missed_edges");
    reading.quality.uncertain = integer<std::uint32_t>(fields, "uncertain");
    reading.events = integer<std::uint32_t>(fields, "events");
    if (!fields.at("power").is_null())
        reading.power = Milliwatts{integer<std::uint32_t>(fields, "power")};
    return reading;
}

Hello hello(const json& fields)
{
    Hello hello;
    hello.nonce = sixteen(fields, "nonce");
    hello.epoch = epoch(fields);
    hello.sequence = sequence(fields);
    hello.total = total(fields);
    hello.has_register = integer<int>(fields, "has_register") == 1;
    hello.source = source(fields);
    hello.boot = sixteen(fields, "boot");
    return hello;
}

State state(const json& fields)
{
    State state;
    state.nonce = sixteen(fields, "nonce");
    state.highest_epoch = epoch(fields, "highest_epoch");
    state.epoch = epoch(fields);
    state.sequence = sequence(fields);
    state.total = total(fields);
    state.constant = constant(fields);
    state.start = start(fields);
    return state;
}

UpMessage up_message(const json& vector)
{
    const json& fields = vector.at("fields");
    if (vector.at("kind") == "Hello")
        return hello(fields);
    BOOST_TEST_REQUIRE(vector.at("kind").get<std::string>() == "Reading");
    return reading(fields);
}

DownMessage down_message(const json& vector)
{
    const json& fields = vector.at("fields");
    if (vector.at("kind") == "State")
        return state(fields);
    if (vector.at("kind") == "Confirmation")
        return Confirmation{epoch(fields), sequence(fields, "first"), sequence(fields, "last")};
    BOOST_TEST_REQUIRE(vector.at("kind").get<std::string>() == "Refused");
    return Refused{epoch(fields), sequence(fields),
                   static_cast<RefusalReason>(integer<std::uint8_t>(fields, "reason"))};
}

const std::map<std::string, CodecError> errors{
    {"wrong_size", CodecError::wrong_size},           {"wrong_version", CodecError::wrong_version},
    {"wrong_direction", CodecError::wrong_direction}, {"wrong_kind", CodecError::wrong_kind},
    {"wrong_meter", CodecError::wrong_meter},         {"out_of_range", CodecError::out_of_range},
    {"not_canonical", CodecError::not_canonical}};

BOOST_AUTO_TEST_SUITE(reading_codec)

BOOST_AUTO_TEST_CASE(I1_each_valid_vector_decodes_to_its_fields_and_encodes_to_its_bytes)
{
    std::set<std::string> kinds;
    for (const json& vector : vectors().at("valid")) {
        BOOST_TEST_CONTEXT(vector.at("name"))
        {
            kinds.insert(vector.at("kind"));
            const MeterId meter = meter_id(vector.at("meter"));
            const auto bytes = from_hex(vector.at("plaintext"));
            const auto agree = [&](const auto& message, const auto& decoded) {
                BOOST_TEST(encode(meter, message) == bytes, boost::test_tools::per_element());
                BOOST_TEST_REQUIRE(decoded.has_value());
                BOOST_TEST((*decoded == message));
            };
            if (vector.at("direction") == "up") {
                agree(up_message(vector), decode_up(meter, bytes));
            } else {
                agree(down_message(vector), decode_down(meter, bytes));
            }
        }
    }
    BOOST_TEST(kinds.size() == 5U);
}

BOOST_AUTO_TEST_CASE(I1_each_invalid_vector_is_refused_with_its_error)
{
    std::set<CodecError> seen;
    for (const json& vector : vectors().at("invalid_plaintexts")) {
        BOOST_TEST_CONTEXT(vector.at("name"))
        {
            const MeterId meter = meter_id(vector.at("meter"));
            const auto bytes = from_hex(vector.at("plaintext"));
            const CodecError expected = errors.at(vector.at("error"));
            const auto refused = [&](const auto& decoded) {
                BOOST_TEST_REQUIRE(!decoded.has_value());
                BOOST_TEST(text(decoded.error()) == text(expected));
            };
            if (vector.at("direction") == "up") {
                refused(decode_up(meter, bytes));
            } else {
                refused(decode_down(meter, bytes));
            }
            seen.insert(expected);
        }
    }
    BOOST_TEST(seen.size() == errors.size());
}

BOOST_AUTO_TEST_CASE(each_codec_error_has_words_of_its_own)
{
    std::set<std::string_view> words;
    for (const auto& [name, error] : errors)
        words.insert(text(error));
    BOOST_TEST(words.size() == errors.size());
    BOOST_TEST(!words.contains("unknown"));
}

BOOST_AUTO_TEST_CASE(a_default_state_is_the_answer_that_knows_nothing)
{
    const MeterId meter = meter_id("kitchen");
    const State nothing;
    BOOST_TEST((decode_down(meter, encode(meter, nothing)) == DownMessage(nothing)));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
