#include "server/register_change.hpp"

#include "server/consumption.hpp"

#include <fmt/core.h>

namespace pulsemeter {

std::optional<std::string> register_change(const Reading& reading)
{
    const auto has = [&reading](MeterEvent event) {
        return (reading.events & static_cast<std::uint32_t>(event)) != 0;
    };
    if (!has(MeterEvent::register_set))
        return std::nullopt;
    const bool swapped = has(MeterEvent::meter_swapped);
    const bool changed = has(MeterEvent::constant_changed);
    return fmt::format("register set to {} kWh at {} imp/kWh in epoch {}{}{}{}{}{}",
                       kwh_text(reading.total, reading.constant, reading.start), reading.constant.imp_per_kwh,
                       reading.epoch.value, swapped || changed ? " (" : "", swapped ? "another meter" : "",
                       swapped && changed ? ", " : "", changed ? "another imp/kWh" : "",
                       swapped || changed ? ")" : "");
}

} // namespace pulsemeter
