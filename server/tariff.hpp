// Integer money: one price a kWh, exact, and what consumption costs. Pure values; no float anywhere. Only
// consumption is priced, never a register's value (it contains what was used before this tariff, or this
// meter).
#pragma once

#include "server/consumption.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pulsemeter {

// In ten-thousandths of the currency's unit (0.01 penny).
struct Money {
    std::int64_t ten_thousandths = 0;
    auto operator<=>(const Money&) const = default;
};
[[nodiscard]] std::string decimal(Money money); // "0.0187"

enum class TariffError : std::uint8_t { bad_price, bad_currency };
[[nodiscard]] std::string_view text(TariffError error); // what it should be, for people

class Tariff {
public:
    // A price a kWh, "0.39": digits, at most six of them after a point, at most 1,000,000. A currency is a
    // sign or a code that is put before amounts: 1 … 8 bytes of UTF-8 without blanks, digits and control
    // characters.
    [[nodiscard]] static tl::expected<Tariff, TariffError> parse(std::string_view price_per_kwh,
                                                                 std::string_view currency);

    // The exact sum, rounded once, half up, to ten-thousandths. Nothing if it is too large to be told.
    [[nodiscard]] std::optional<Money> cost(std::span<const ConsumedPulses> consumption) const;

    [[nodiscard]] const std::string& currency() const { return currency_; }
    [[nodiscard]] std::string text(Money money) const;     // "£0.0187"
    [[nodiscard]] std::string price_per_unit_text() const; // "£0.00039": of 1 Wh, exact

private:
    Tariff(std::uint64_t millionths_per_kwh, std::string_view currency)
        : millionths_per_kwh_(millionths_per_kwh), currency_(currency)
    {
    }
    std::uint64_t millionths_per_kwh_;
    std::string currency_;
};

} // namespace pulsemeter
