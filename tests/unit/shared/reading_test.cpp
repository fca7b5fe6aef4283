#include "shared/reading.hpp"

#include <boost/test/unit_test.hpp>

#include <set>
#include <string>

namespace pulsemeter {
namespace {

BOOST_AUTO_TEST_SUITE(reading)

BOOST_AUTO_TEST_CASE(a_meter_id_is_1_to_32_of_small_letters_digits_and_hyphen)
{
    for (const std::string text :
         {"a", "0", "-", "kitchen", "meter-pi-01", "abcdefghijklmnopqrstuvwxyz-01234"}) {
        const auto id = MeterId::parse(text);
        BOOST_TEST_REQUIRE(id.has_value(), text);
        BOOST_TEST(id->text() == text);
    }
    BOOST_TEST(MeterId::parse(std::string(32, 'a')).has_value());
    BOOST_TEST(!MeterId::parse(std::string(33, 'a')).has_value());
    BOOST_TEST(!MeterId::parse("").has_value());
}

BOOST_AUTO_TEST_CASE(any_other_character_makes_no_meter_id_wherever_it_stands)
{
    const std::string allowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
    for (int byte = 0; byte < 256; ++byte) {
        const char character = static_cast<char>(byte);
        const bool expected = allowed.find(character) != std::string::npos;
        for (std::size_t place = 0; place < 3; ++place) {
            std::string text = "aaa";
            text[place] = character;
            BOOST_TEST(MeterId::parse(text).has_value() == expected, "byte " << byte << " at " << place);
        }
    }
}

BOOST_AUTO_TEST_CASE(meter_ids_compare_by_their_text)
{
    BOOST_TEST((MeterId::parse("a") == MeterId::parse("a")));
    BOOST_TEST((*MeterId::parse("a") < *MeterId::parse("b")));
    BOOST_TEST((*MeterId::parse("a") < *MeterId::parse("aa")));
}

BOOST_AUTO_TEST_CASE(each_refusal_reason_has_words_of_its_own)
{
    std::set<std::string_view> words;
    for (const auto reason :
         {RefusalReason::total_fell, RefusalReason::total_jumped, RefusalReason::implausible_rate,
          RefusalReason::constant_changed, RefusalReason::conflict})
        words.insert(text(reason));
    BOOST_TEST(words.size() == 5U);
    BOOST_TEST(!words.contains("unknown"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
