// A measured meter at 1000 imp/kWh that sends every 10 s, and short names for what the tests say often.
#pragma once

#include "server/admission.hpp"

#include <ostream>

namespace pulsemeter {

inline const WallTime noon{std::chrono::milliseconds(1'700'000'000'000)};
inline constexpr std::chrono::milliseconds sending_interval{10'000};

inline MeterId meter_id(std::string_view text)
{
    return *MeterId::parse(text); // NOLINT(bugprone-unchecked-optional-access)
}

inline BootId boot_id(std::uint8_t number)
{
    BootId boot{};
    boot.fill(number);
    return boot;
}

inline Reading sample(std::uint32_t epoch, std::uint64_t sequence, std::uint64_t total)
{
    Reading reading;
    reading.epoch = Epoch{epoch};
    reading.sequence = Sequence{sequence};
    reading.total = Pulses{total};
    const auto since_start = static_cast<std::int64_t>(sequence % 1'000'000'000) * sending_interval;
    reading.measured_at = noon + since_start;
    reading.clock = Clock::synchronised;
    reading.boot = boot_id(7);
    reading.uptime = std::chrono::minutes(1) + since_start;
    reading.source = Source::measured;
    return reading;
}

inline Reading simulated(Reading reading)
{
    reading.source = Source::simulated;
    return reading;
}

inline bool is_accepted(const Outcome& outcome)
{
    return std::holds_alternative<Accepted>(outcome);
}
inline bool is_duplicate(const Outcome& outcome)
{
    return std::holds_alternative<Duplicate>(outcome);
}
inline bool is_conflict(const Outcome& outcome)
{
    return std::holds_alternative<Conflict>(outcome);
}
inline bool is_rejected(const Outcome& outcome, RefusalReason reason)
{
    return outcome == Outcome{Rejected{reason}};
}

} // namespace pulsemeter
