#include "server/tariff.hpp"

#include "server/decimal.hpp"
#include "shared/ensure.hpp"

#include <algorithm>

namespace pulsemeter {
namespace {

constexpr std::uint64_t millionths = 1'000'000;
constexpr std::uint64_t dearest_kwh = 1'000'000; // in the currency's unit
constexpr std::size_t longest_whole = 7;
constexpr std::size_t longest_fraction = 6;
constexpr std::size_t longest_currency = 8;

bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

std::optional<std::uint64_t> parse_millionths(std::string_view text)
{
    const auto point = text.find('.');
    const std::string_view whole = text.substr(0, point);
    const std::string_view fraction =
        point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
    if (whole.empty() || whole.size() > longest_whole || fraction.size() > longest_fraction ||
        (fraction.empty() && point != std::string_view::npos))
        return std::nullopt;

    std::string digits(whole);
    digits.append(fraction).append(longest_fraction - fraction.size(), '0');
    if (!std::all_of(digits.begin(), digits.end(), is_digit))
        return std::nullopt;
    std::uint64_t value = 0;
    for (const char digit : digits)
        value = value * 10 + static_cast<std::uint64_t>(digit - '0');
    if (value > dearest_kwh * millionths)
        return std::nullopt;
    return value;
}

bool is_currency(std::string_view text)
{
    const auto allowed = [](char character) {
        const auto byte = static_cast<unsigned char>(character);
        return byte > ' ' && byte != 0x7F && !is_digit(character);
    };
    return !text.empty() && text.size() <= longest_currency && std::all_of(text.begin(), text.end(), allowed);
}

Wide greatest_common_divisor(Wide a, Wide b)
{
    while (b != 0) {
        const Wide rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// A sum of fractions, exact.
struct Sum {
    Wide whole = 0;
    Wide rest = 0; // below one: rest / denominator, in lowest terms
    Wide denominator = 1;
};

// Room for doubling without overflow.
constexpr Wide largest_denominator = ~Wide{0} / 4;

// False if the common denominator is too large: only dozens of unrelated meter constants come to that.
bool add(Sum& sum, Wide numerator, Wide denominator)
{
    sum.whole += numerator / denominator;
    const Wide rest = numerator % denominator;
    const Wide scale = denominator / greatest_common_divisor(sum.denominator, denominator);
    if (sum.denominator > largest_denominator / scale)
        return false;
    const Wide common = sum.denominator * scale;
    Wide total = sum.rest * scale + rest * (common / denominator);
    if (total >= common) {
        ++sum.whole;
        total -= common;
    }
    const Wide shared = greatest_common_divisor(common, total);
    sum.rest = total / shared;
    sum.denominator = common / shared;
    return true;
}

} // namespace

std::string decimal(Money money)
{
    ENSURE(money.ten_thousandths >= 0, "a cost below nothing");
    return decimal_text(static_cast<std::uint64_t>(money.ten_thousandths), 4, 4);
}

std::string_view text(TariffError error)
{
    switch (error) {
    case TariffError::bad_price:
        return "a price per kWh is a number like \"0.39\", at most 1000000, with at most six decimals";
    case TariffError::bad_currency:
        return "a currency is a sign or a code of at most 8 bytes without blanks and digits, like \"£\" or "
               "\"EUR\"";
    }
    return "unknown";
}

tl::expected<Tariff, TariffError> Tariff::parse(std::string_view price_per_kwh, std::string_view currency)
{
    const auto price = parse_millionths(price_per_kwh);
    if (!price)
        return tl::unexpected(TariffError::bad_price);
    if (!is_currency(currency))
        return tl::unexpected(TariffError::bad_currency);
    return Tariff(*price, currency);
}

std::optional<Money> Tariff::cost(std::span<const ConsumedPulses> consumption) const
{
    // Millionths to ten-thousandths: the 100 below the line.
    Sum sum;
    for (const ConsumedPulses& part : consumption) {
        const Wide denominator = Wide{part.constant.imp_per_kwh} * 100;
        if (!add(sum, Wide{part.pulses.value} * millionths_per_kwh_, denominator))
            return std::nullopt;
    }
    if (sum.rest * 2 >= sum.denominator)
        ++sum.whole;
    if (sum.whole > Wide{largest_integer})
        return std::nullopt;
    return Money{static_cast<std::int64_t>(sum.whole)};
}

std::string Tariff::text(Money money) const
{
    return currency_ + decimal(money);
}

std::string Tariff::price_per_unit_text() const
{
    return currency_ + decimal_text(millionths_per_kwh_, 9, 2);
}

} // namespace pulsemeter
