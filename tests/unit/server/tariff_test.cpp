#include "server/tariff.hpp"

#include <boost/multiprecision/cpp_int.hpp>
#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <string>
#include <vector>

namespace pulsemeter {
namespace {

using Rational = boost::multiprecision::cpp_rational;
using Integer = boost::multiprecision::cpp_int;

std::vector<ConsumedPulses> consumed(std::uint64_t pulses, std::uint32_t imp_per_kwh = 1000)
{
    return {{MeterConstant{imp_per_kwh}, Pulses{pulses}}};
}

std::string cost_text(const Tariff& tariff, const std::vector<ConsumedPulses>& consumption)
{
    const auto cost = tariff.cost(consumption);
    return cost ? tariff.text(*cost) : "refused";
}

BOOST_AUTO_TEST_SUITE(tariff)

BOOST_AUTO_TEST_CASE(the_issue_s_examples)
{
    const auto tariff = Tariff::parse("0.39", "£");
    BOOST_TEST_REQUIRE(tariff.has_value());
    BOOST_TEST(cost_text(*tariff, consumed(42)) == "£0.0164");
    BOOST_TEST(cost_text(*tariff, consumed(48)) == "£0.0187");
    BOOST_TEST(cost_text(*tariff, consumed(52)) == "£0.0203");
    BOOST_TEST(cost_text(*tariff, {}) == "£0.0000");
    BOOST_TEST(tariff->price_per_unit_text() == "£0.00039");
}

BOOST_AUTO_TEST_CASE(rounding_is_half_up_and_done_once)
{
    const auto tariff = Tariff::parse("0.1", "EUR"); // a pulse of 2000 imp/kWh costs half a ten-thousandth
    BOOST_TEST(cost_text(*tariff, consumed(1, 2000)) == "EUR0.0001");
    BOOST_TEST(cost_text(*tariff, consumed(1, 2001)) == "EUR0.0000");
    // Two halves are one, not two.
    const std::vector<ConsumedPulses> halves = {{{2000}, {1}}, {{4000}, {2}}};
    BOOST_TEST(cost_text(*tariff, halves) == "EUR0.0001");
    // 1/3 + 1/6 of a ten-thousandth is exactly a half.
    const std::vector<ConsumedPulses> third_and_sixth = {{{3000}, {1}}, {{6000}, {1}}};
    BOOST_TEST(cost_text(*tariff, third_and_sixth) == "EUR0.0001");
}

BOOST_AUTO_TEST_CASE(prices_are_taken_exactly_or_not_at_all)
{
    for (const std::string good :
         {"0", "0.39", "00.39", "1", "0.000001", "999999.999999", "1000000", "1000000.0"})
        BOOST_TEST(Tariff::parse(good, "£").has_value(), good);
    for (const std::string bad :
         {"", ".", ".5", "1.", "-1", "+1", "0,39", "0.3900000", "1e3", "1000000.000001", "1000001",
          "10000000", "99999999999999999999", " 1", "1 ", "0x1", "nan", "0.3\n", "1.2.3"}) {
        const auto parsed = Tariff::parse(bad, "£");
        BOOST_TEST(!parsed.has_value(), bad);
        if (!parsed)
            BOOST_TEST((parsed.error() == TariffError::bad_price));
    }
    BOOST_TEST(Tariff::parse("0.000001", "£")->price_per_unit_text() == "£0.000000001");
    BOOST_TEST(Tariff::parse("1000", "£")->price_per_unit_text() == "£1.00");
    BOOST_TEST(Tariff::parse("0", "£")->price_per_unit_text() == "£0.00");
}

BOOST_AUTO_TEST_CASE(a_currency_is_short_and_has_nothing_that_could_be_part_of_the_amount)
{
    for (const std::string good : {"£", "€", "EUR", "kr.", "CHF"})
        BOOST_TEST(Tariff::parse("1", good).has_value(), good);
    for (const std::string bad : {"", "E1", "EU R", "\t", "\x7f", "NINECHARS"}) {
        const auto parsed = Tariff::parse("1", bad);
        BOOST_TEST(!parsed.has_value(), bad);
        if (!parsed)
            BOOST_TEST((parsed.error() == TariffError::bad_currency));
    }
    BOOST_TEST(!Tariff::parse("1", std::string_view("a\0b", 3)).has_value());
}

BOOST_AUTO_TEST_CASE(a_cost_that_is_too_large_is_refused_not_wrapped)
{
    const auto cheap = Tariff::parse("0.0001", "£"); // 2^63−1 pulses at 1 imp/kWh: 2^63−1 ten-thousandths
    const auto cost = cheap->cost(consumed(largest_integer, 1));
    BOOST_TEST_REQUIRE(cost.has_value());
    BOOST_TEST(cost->ten_thousandths == INT64_MAX);
    BOOST_TEST(decimal(*cost) == "922337203685477.5807");
    const std::vector<ConsumedPulses> one_more = {{{1}, {largest_integer}}, {{1}, {1}}};
    BOOST_TEST(!cheap->cost(one_more).has_value());
    const auto dearest = Tariff::parse("1000000", "£");
    BOOST_TEST(!dearest->cost(consumed(UINT64_MAX, 1)).has_value());
}

BOOST_AUTO_TEST_CASE(constants_without_a_common_denominator_that_fits_are_refused)
{
    std::vector<ConsumedPulses> many;
    for (std::uint32_t imp = largest_imp_per_kwh; imp > largest_imp_per_kwh - 40; --imp)
        many.push_back({MeterConstant{imp}, Pulses{1}});
    BOOST_TEST(!Tariff::parse("0.000001", "£")->cost(many).has_value());
}

BOOST_AUTO_TEST_CASE(arithmetic_agrees_with_rational_numbers)
{
    BOOST_TEST(rc::check("cost is the exact sum rounded half up once", [] {
        const auto millionths = *rc::gen::inRange<std::uint64_t>(0, 1'000'000'000'001);
        const std::string fraction = std::to_string(1'000'000 + millionths % 1'000'000).substr(1);
        const auto tariff = Tariff::parse(std::to_string(millionths / 1'000'000) + "." + fraction, "£");
        RC_ASSERT(tariff.has_value());

        std::vector<ConsumedPulses> parts;
        Rational exact = 0;
        for (int part = *rc::gen::inRange(0, 5); part > 0; --part) {
            const auto imp = *rc::gen::inRange<std::uint32_t>(1, largest_imp_per_kwh + 1);
            const auto shift = *rc::gen::inRange(0, 63);
            const auto pulses = (*rc::gen::arbitrary<std::uint64_t>() & largest_integer) >> shift;
            parts.push_back({MeterConstant{imp}, Pulses{pulses}});
            exact += Rational(Integer(pulses) * millionths, Integer(imp) * 100);
        }
        exact += Rational(1, 2);
        const Integer rounded = numerator(exact) / denominator(exact);
        const auto cost = tariff->cost(parts);
        RC_ASSERT(cost.has_value() == (rounded <= INT64_MAX));
        if (cost)
            RC_ASSERT(Integer(cost->ten_thousandths) == rounded);
    }));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
