#include "meter-pi/report.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <ctime>

namespace pulsemeter::report {

namespace {

std::string clock_text()
{
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    return fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec);
}

void line(const std::string& text)
{
    fmt::print("{}  {}\n", clock_text(), text);
    if (std::fflush(stdout) != 0)
        std::clearerr(stdout); // who reads this or not is no matter of the meter's
}

std::string range(const Confirmation& confirmation)
{
    if (confirmation.first == confirmation.last)
        return fmt::format("reading {}", confirmation.last.value);
    return fmt::format("readings {} to {}", confirmation.first.value, confirmation.last.value);
}

template <typename Content, typename Words>
void last_confirmation(const std::string& token, const std::optional<Content>& opened, const Words& words)
{
    line(fmt::format("last confirmation, sealed: {}", token));
    if (opened) {
        line(fmt::format("last confirmation, opened: {}", words(*opened)));
    } else {
        line("last confirmation: it does not open with this meter's key");
    }
}

} // namespace

std::uint64_t units(MilliwattHours start, Pulses total, MeterConstant constant)
{
    __extension__ using Wide = unsigned __int128;
    const Wide milliwatt_hours = Wide{start.value} + Wide{total.value} * 1'000'000U / constant.imp_per_kwh;
    return static_cast<std::uint64_t>(milliwatt_hours / 1'000U);
}

std::string watts(const std::optional<Milliwatts>& power)
{
    return power ? fmt::format("{} W", power->value / 1'000U + (power->value % 1'000U >= 500U ? 1U : 0U))
                 : "unknown power";
}

void stored(const MeterId& meter, const Reading& reading)
{
    line(fmt::format("{}  reading {}: Total Units = {}, {}{}", meter.text(), reading.sequence.value,
                     units(reading.start, reading.total, reading.constant), watts(reading.power),
                     reading.source == Source::simulated ? ", simulated" : ""));
}

void waiting(const MeterId& meter, const StoredRegister& now)
{
    line(fmt::format("{}  {} pulses counted{}, waiting for the server", meter.text(),
                     value_of(now).total.value, now.source == Source::simulated ? " (simulated)" : ""));
}

void confirmed(const Confirmation& confirmation)
{
    line(fmt::format("confirmed by the server: {}", range(confirmation)));
}

void confirmed(Pulses total)
{
    line(fmt::format("confirmed by the server: total {}", total.value));
}

void last_confirmation(const std::string& token, const std::optional<Confirmation>& opened)
{
    last_confirmation(token, opened, [](const Confirmation& confirmation) {
        return fmt::format("{} of epoch {}", range(confirmation), confirmation.epoch.value);
    });
}

void last_confirmation(const std::string& token, const std::optional<Pulses>& opened)
{
    last_confirmation(token, opened, [](Pulses total) { return fmt::format("total {}", total.value); });
}

} // namespace pulsemeter::report
