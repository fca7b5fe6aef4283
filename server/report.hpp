// What people read and scripts parse: the line of a new reading, the status of all meters, a meter's
// readings. Pure: values in, text out. Decimals are strings in JSON, so that no reader makes a float of them;
// times there are UTC. Nothing that arrived from outside is shown without being made harmless first.
#pragma once

#include "server/keystore.hpp"
#include "server/sqlite_ledger.hpp"
#include "server/tariff.hpp"
#include "shared/message_bus.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pulsemeter::report {

// When the newest word of a meter was true: its own time if its clock was synchronised, else that of the
// receipt.
[[nodiscard]] WallTime best_time(const Reading& reading, WallTime received_at);

// "2026-01-31 13:00:00  hall  Total Units = 48, Total Cost (@£0.00039 per unit): £0.0187, 120 W,
// simulated\n". Units are of the register, the cost is of what was used.
[[nodiscard]] std::string reading_line(const MeterId& meter, const Reading& reading, WallTime received_at,
                                       std::span<const ConsumedPulses> used, const Tariff& tariff);

// For --verbose: "pulsemeter/…/up, QoS 1, retain 0: gAAA…\n".
[[nodiscard]] std::string envelope_line(const Received& message);

[[nodiscard]] std::string meters_table(std::span<const MeterEntry> meters);
[[nodiscard]] std::string meters_json(std::span<const MeterEntry> meters);

struct MeterStatus {
    MeterId id;
    std::optional<MeterSummary> summary;     // nothing: no reading yet
    std::optional<Wire> wire = Wire::sealed; // nothing: the meter was removed
};
[[nodiscard]] std::string status_table(std::span<const MeterStatus> meters, const Tariff& tariff,
                                       WallTime now);
[[nodiscard]] std::string status_json(std::span<const MeterStatus> meters,
                                      std::span<const LedgerAlarm> alarms, const Tariff& tariff,
                                      WallTime now);
// A line each, nothing without any: what status shows of alarms_shown.
[[nodiscard]] std::string alarms_text(std::span<const LedgerAlarm> alarms);
inline constexpr std::chrono::days alarms_shown{7};

// Without the end of its line.
[[nodiscard]] std::string event_row(const LedgerEvent& event);
[[nodiscard]] std::string event_json(const LedgerEvent& event);

// One reading of a listing, without the end of its line.
[[nodiscard]] std::string reading_row(const LedgerReading& row);
[[nodiscard]] std::string reading_json(const LedgerReading& row);
[[nodiscard]] std::string reading_csv(const LedgerReading& row);
inline constexpr std::string_view csv_header = "epoch,sequence,total_pulses,total_kwh,power_w,source,"
                                               "measured_at,clock_synchronised,received_at,standing,"
                                               "glitches,missed_edges,uncertain,events";

[[nodiscard]] std::string held_table(std::span<const HeldReading> held);
[[nodiscard]] std::string held_json(std::span<const HeldReading> held);

} // namespace pulsemeter::report
