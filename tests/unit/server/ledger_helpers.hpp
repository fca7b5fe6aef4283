// What the ledger's tests say often.
#pragma once

#include "server/sqlite_ledger.hpp"
#include "tests/unit/server/samples.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

inline const MeterId kitchen = meter_id("kitchen");

inline Appended append(Ledger& ledger, const Reading& reading, WallTime now = noon,
                       const MeterId& meter = kitchen)
{
    const IncomingReading incoming{meter, reading};
    return ledger.append(std::span(&incoming, 1), now).at(0);
}

inline std::vector<LedgerReading> all_readings(SqliteLedger& ledger, const MeterId& meter = kitchen,
                                               WallTime since = WallTime{})
{
    std::vector<LedgerReading> found;
    ledger.readings(meter, since, [&found](const LedgerReading& reading) { found.push_back(reading); });
    return found;
}

inline std::vector<ConsumedPulses> used_until(SqliteLedger& ledger, const MeterId& meter,
                                              const Reading& reading)
{
    const AdmittedReading asked{meter, reading};
    return ledger.consumption_until(std::span(&asked, 1)).at(0);
}

inline std::vector<std::pair<std::uint32_t, std::uint64_t>> keys(SqliteLedger& ledger)
{
    std::vector<std::pair<std::uint32_t, std::uint64_t>> found;
    for (const LedgerReading& row : all_readings(ledger))
        found.emplace_back(row.reading.epoch.value, row.reading.sequence.value);
    return found;
}

inline std::size_t count_events(SqliteLedger& ledger, EventKind kind)
{
    const auto events = ledger.events(1'000'000);
    return static_cast<std::size_t>(std::count_if(
        events.begin(), events.end(), [kind](const LedgerEvent& event) { return event.kind == kind; }));
}

inline HeldKey held_key(std::uint32_t epoch, std::uint64_t sequence)
{
    return {kitchen, Epoch{epoch}, Sequence{sequence}};
}

} // namespace pulsemeter
