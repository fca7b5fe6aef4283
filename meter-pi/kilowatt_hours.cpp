#include "meter-pi/kilowatt_hours.hpp"

namespace pulsemeter {
namespace {

constexpr std::size_t most_decimals = 6;  // 1 mWh
constexpr std::size_t least_decimals = 3; // 1 Wh
constexpr std::uint64_t milliwatt_hours_per_kwh = 1'000'000;

} // namespace

std::optional<MilliwattHours> parse_kilowatt_hours(std::string_view text)
{
    const std::size_t point = text.find('.');
    const std::string_view decimals =
        point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
    if (text.empty() || point == 0 || decimals.size() > most_decimals ||
        (point != std::string_view::npos && decimals.empty()))
        return std::nullopt;
    std::string digits(text.substr(0, point));
    digits += decimals;
    digits.append(most_decimals - decimals.size(), '0');
    std::uint64_t value = 0;
    for (const char digit : digits) {
        if (digit < '0' || digit > '9')
            return std::nullopt;
        const auto more = static_cast<std::uint64_t>(digit - '0');
        if (value > (largest_integer - more) / 10)
            return std::nullopt;
        value = value * 10 + more;
    }
    return MilliwattHours{value};
}

std::string kilowatt_hours_text(MilliwattHours energy)
{
    const std::string decimals =
        std::to_string(milliwatt_hours_per_kwh + energy.value % milliwatt_hours_per_kwh);
    std::string text = std::to_string(energy.value / milliwatt_hours_per_kwh) + "." + decimals.substr(1);
    const std::size_t shortest = text.size() - (most_decimals - least_decimals);
    while (text.size() > shortest && text.back() == '0')
        text.pop_back();
    return text;
}

} // namespace pulsemeter
