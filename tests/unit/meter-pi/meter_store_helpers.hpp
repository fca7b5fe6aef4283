// What the tests of the meter's store say often.
#pragma once

#include "meter-pi/sqlite_meter_store.hpp"

namespace pulsemeter {

inline StoredRegister stored(std::uint64_t last, std::uint64_t total)
{
    return {.source = Source::measured,
            .epoch = Epoch{3},
            .last = Sequence{last},
            .total = Pulses{total},
            .numbered = Pulses{total},
            .constant = MeterConstant{800},
            .start = MilliwattHours{123'456},
            .quality = {1, 2, 3}};
}

inline Reading reading(std::uint64_t sequence)
{
    return {.epoch = Epoch{3},
            .sequence = Sequence{sequence},
            .total = Pulses{sequence * 10},
            .constant = MeterConstant{800},
            .start = MilliwattHours{123'456},
            .measured_at = WallTime{std::chrono::milliseconds{1'700'000'000'123}},
            .clock = Clock::synchronised,
            .boot = BootId{1, 2, 3, 0, 255},
            .uptime = Uptime{5'000},
            .source = Source::measured,
            .quality = {1, 2, UINT32_MAX},
            .events = UINT32_MAX,
            .power = sequence % 2 == 0 ? std::optional(Milliwatts{UINT32_MAX - 1}) : std::nullopt};
}

inline void append(SqliteMeterStore& store, std::uint64_t sequence)
{
    (void)store.commit({.register_now = stored(sequence, sequence * 10), .reading = reading(sequence)});
}

} // namespace pulsemeter
