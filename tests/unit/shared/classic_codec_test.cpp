#include "shared/classic_codec.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

using namespace pulsemeter;

namespace {

std::vector<std::uint8_t> bytes(std::string_view text)
{
    return {text.begin(), text.end()};
}

tl::expected<Pulses, ClassicError> decoded(std::string_view text)
{
    return decode_total(bytes(text));
}

tl::expected<Pulses, ClassicError> refused(ClassicError error)
{
    return tl::unexpected(error);
}

} // namespace

BOOST_AUTO_TEST_SUITE(classic_codec)

BOOST_AUTO_TEST_CASE(I1_totals_that_python_writes)
{
    BOOST_TEST((decoded("0") == Pulses{0}));
    BOOST_TEST((decoded("48") == Pulses{48}));
    BOOST_TEST((decoded("9223372036854775807") == Pulses{largest_integer}));
    BOOST_TEST(encode_total(Pulses{0}) == "0");
    BOOST_TEST(encode_total(Pulses{largest_integer}) == "9223372036854775807");
}

BOOST_AUTO_TEST_CASE(I1_totals_of_another_kind_are_refused)
{
    using namespace std::string_view_literals;
    for (const auto wrong : {""sv, "-1"sv, "+1"sv, " 1"sv, "1 "sv, "1\n"sv, "1 000"sv, "0x10"sv, "1e9"sv,
                             "1.0"sv, "1,000"sv, "1_000"sv, "inf"sv, "b'48'"sv, "48\0"sv,
                             "\xd9\xa4\xd9\xa8"sv /* Arabic digits */, "\xff\xfe"sv /* not UTF-8 */,
                             "\xef\xbb\xbf"
                             "48"sv /* a byte order mark */})
        BOOST_TEST((decoded(wrong) == refused(ClassicError::not_a_number)), wrong);
    for (const auto wrong : {"00"sv, "007"sv, "0000000000000000000000000001"sv})
        BOOST_TEST((decoded(wrong) == refused(ClassicError::leading_zero)), wrong);
    for (const auto wrong : {"9223372036854775808"sv, "18446744073709551615"sv, "18446744073709551616"sv,
                             "100000000000000000000000000000000000000000"sv})
        BOOST_TEST((decoded(wrong) == refused(ClassicError::too_large)), wrong);
}

BOOST_AUTO_TEST_CASE(I1_property_a_total_comes_back)
{
    BOOST_TEST(rc::check([](std::uint64_t number) {
        const Pulses total{number & largest_integer};
        RC_ASSERT(decoded(encode_total(total)) == total);
    }));
}

BOOST_AUTO_TEST_CASE(I1_property_what_is_taken_has_one_spelling)
{
    BOOST_TEST(rc::check([] {
        const auto text =
            *rc::gen::container<std::string>(rc::gen::elementOf(std::string("0123456789 -+xe.\n\xff")));
        if (const auto total = decoded(text))
            RC_ASSERT(encode_total(*total) == text);
    }));
}

BOOST_AUTO_TEST_CASE(I1_property_any_bytes_are_a_total_or_refused)
{
    BOOST_TEST(rc::check([](const std::vector<std::uint8_t>& any) {
        if (const auto total = decode_total(any))
            RC_ASSERT(bytes(encode_total(*total)) == any);
    }));
}

BOOST_AUTO_TEST_CASE(I1_topics)
{
    using namespace std::string_view_literals;
    const auto error = [](std::string_view topic) { return check_topic(topic).error(); };
    for (const auto good : {"UNITS1221"sv, "home/hall/units"sv, "/"sv, "a-b_c.d:1"sv})
        BOOST_TEST(check_topic(good).has_value(), good);
    BOOST_TEST((error("") == TopicError::empty));
    BOOST_TEST((error(std::string(129, 'a')) == TopicError::too_long));
    BOOST_TEST(check_topic(std::string(128, 'a')).has_value());
    for (const auto bad : {"a/+"sv, "#"sv, "a b"sv, "a\"b"sv, "a\\b"sv, "\xc3\xa9"sv, "a\0b"sv, "a\nb"sv})
        BOOST_TEST((error(bad) == TopicError::bad_character), bad);
    BOOST_TEST((error("$SYS/broker") == TopicError::reserved));
    BOOST_TEST((error("pulsemeter/00/up") == TopicError::reserved));
}

BOOST_AUTO_TEST_SUITE_END()
