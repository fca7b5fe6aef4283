#include "server/report.hpp"

#include "server/decimal.hpp"
#include "server/text_table.hpp"
#include "server/time_text.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <array>
#include <utility>

namespace pulsemeter::report {
namespace {

using Json = nlohmann::ordered_json;
using Align = TextTable::Align;

constexpr std::size_t longest_shown = 400; // more than a sealed message has

// Who can publish on a topic can put anything into a payload, control sequences of a terminal too.
std::string harmless(std::string_view text)
{
    std::string shown(text.substr(0, longest_shown));
    for (char& character : shown) {
        if (character < ' ' || character > '~')
            character = '?';
    }
    if (text.size() > longest_shown)
        shown += fmt::format("... ({} bytes)", text.size());
    return shown;
}

std::string watts_text(Milliwatts power)
{
    return decimal_text(power.value, 3, 0);
}

std::string people_watts(const std::optional<Milliwatts>& power)
{
    return power ? fmt::format("{} W", power->value / 1000 + (power->value % 1000 >= 500 ? 1 : 0)) : "-";
}

std::string people_kwh(const Reading& reading)
{
    return kwh_text(reading.total, reading.constant, reading.start) + " kWh";
}

// Whole units of 1 Wh that the register shows, its start value included.
std::string register_units(const Reading& reading)
{
    const Wide milliwatt_hours =
        Wide{reading.total.value} * 1'000'000 / reading.constant.imp_per_kwh + reading.start.value;
    return decimal_text(milliwatt_hours / 1000, 0, 0);
}

std::string people_cost(std::span<const ConsumedPulses> used, const Tariff& tariff)
{
    const auto money = tariff.cost(used);
    return money ? tariff.text(*money) : "too large to tell";
}

std::string text(std::optional<Wire> wire)
{
    if (!wire)
        return "-";
    return wire == Wire::classic ? "classic" : "sealed";
}

Json watts_json(const std::optional<Milliwatts>& power)
{
    return power ? Json(watts_text(*power)) : Json(nullptr);
}

std::vector<std::string> event_names(std::uint32_t events)
{
    static constexpr std::array<std::pair<MeterEvent, std::string_view>, 12> names{{
        {MeterEvent::started, "started"},
        {MeterEvent::register_recovered, "register_recovered"},
        {MeterEvent::server_was_ahead, "server_was_ahead"},
        {MeterEvent::became_measured, "became_measured"},
        {MeterEvent::disk_trouble, "disk_trouble"},
        {MeterEvent::sensor_missing, "sensor_missing"},
        {MeterEvent::outbox_thinned, "outbox_thinned"},
        {MeterEvent::clock_stepped, "clock_stepped"},
        {MeterEvent::register_set, "register_set"},
        {MeterEvent::meter_swapped, "meter_swapped"},
        {MeterEvent::constant_changed, "constant_changed"},
        {MeterEvent::client_id_contested, "client_id_contested"},
    }};
    std::vector<std::string> found;
    for (const auto& [event, name] : names) {
        if ((events & static_cast<std::uint32_t>(event)) != 0)
            found.emplace_back(name);
        events &= ~static_cast<std::uint32_t>(event);
    }
    if (events != 0)
        found.push_back(fmt::format("{:#x}", events));
    return found;
}

std::string joined(const std::vector<std::string>& words, std::string_view between)
{
    std::string text;
    for (const std::string& word : words) {
        text += text.empty() ? "" : between;
        text += word;
    }
    return text;
}

Json meter_json(const MeterStatus& meter, const Tariff& tariff, WallTime now)
{
    Json json{{"id", meter.id.text()},
              {"epoch", nullptr},
              {"sequence", nullptr},
              {"total_pulses", nullptr},
              {"total_kwh", nullptr},
              {"cost", nullptr},
              {"currency", tariff.currency()},
              {"power_w", nullptr},
              {"source", nullptr},
              {"last_reading_at", nullptr},
              {"last_received_at", nullptr},
              {"stale", true},
              {"refused", 0},
              {"held", 0}};
    if (meter.wire == Wire::classic) // what says something only now and then is there only then
        json["wire"] = text(meter.wire);
    if (!meter.wire)
        json["removed"] = true;
    if (!meter.summary)
        return json;
    const MeterSummary& summary = *meter.summary;
    const Reading& newest = summary.newest;
    json["epoch"] = newest.epoch.value;
    json["sequence"] = newest.sequence.value;
    json["total_pulses"] = newest.total.value;
    json["total_kwh"] = kwh_text(newest.total, newest.constant, newest.start);
    if (const auto cost = tariff.cost(summary.consumption))
        json["cost"] = decimal(*cost);
    json["power_w"] = watts_json(newest.power);
    json["source"] = text(newest.source);
    json["last_reading_at"] = utc_text(best_time(newest, summary.received_at));
    json["last_received_at"] = utc_text(summary.received_at);
    json["stale"] =
        !meter.wire || is_stale(newest, summary.received_at, summary.delivery, summary.interval, now);
    json["refused"] = summary.refused;
    json["held"] = summary.held;
    if (const auto& set = summary.register_set)
        json["register_set_at"] = utc_text(best_time(set->reading, set->received_at));
    for (const Gap& gap : summary.gaps) {
        json["gaps"].push_back({{"epoch", gap.epoch.value},
                                {"first", gap.first.value},
                                {"last", gap.last ? Json(gap.last->value) : Json(nullptr)}});
    }
    return json;
}

Json as_json(const LedgerEvent& event)
{
    return {{"at", utc_text(event.at)},
            {"kind", text(event.kind)},
            {"meter", event.meter ? Json(event.meter->text()) : Json(nullptr)},
            {"detail", event.detail}};
}

std::string state_words(const MeterStatus& meter, WallTime now)
{
    const MeterSummary& summary = *meter.summary;
    std::string words = is_stale(summary.newest, summary.received_at, summary.delivery, summary.interval, now)
                            ? "stale"
                            : "fresh";
    if (!meter.wire)
        words = "removed";
    if (summary.held > 0) {
        words += fmt::format(", {} held (see held list)", summary.held);
    } else if (summary.refused > 0) {
        words += fmt::format(", {} refused in the past", summary.refused);
    }
    if (const auto& set = summary.register_set)
        words += ", register set " + local_text(best_time(set->reading, set->received_at));
    for (const Gap& gap : summary.gaps) {
        words += gap.last ? fmt::format(", gap {}…{} since a restore", gap.first.value, gap.last->value)
                          : fmt::format(", perhaps a gap from {} on in epoch {} since a restore",
                                        gap.first.value, gap.epoch.value);
    }
    return words;
}

} // namespace

WallTime best_time(const Reading& reading, WallTime received_at)
{
    return reading.clock == Clock::synchronised ? reading.measured_at : received_at;
}

std::string reading_line(const MeterId& meter, const Reading& reading, WallTime received_at,
                         std::span<const ConsumedPulses> used, const Tariff& tariff)
{
    return fmt::format("{}  {}  Total Units = {}, Total Cost (@{} per unit): {}{}{}\n",
                       local_text(best_time(reading, received_at)), meter.text(), register_units(reading),
                       tariff.price_per_unit_text(), people_cost(used, tariff),
                       reading.power ? ", " + people_watts(reading.power) : "",
                       reading.source == Source::simulated ? ", simulated" : "");
}

std::string envelope_line(const Received& message)
{
    return fmt::format("{}, QoS {}, retain {}: {}\n", harmless(message.topic), message.qos,
                       message.retained ? 1 : 0, harmless(message.payload));
}

std::string meters_table(std::span<const MeterEntry> meters)
{
    TextTable table({{"METER"}, {"IMP/KWH", Align::right}, {"MAX KW", Align::right}, {"ADDED"}, {"WIRE"}});
    for (const MeterEntry& meter : meters) {
        table.add({meter.id.text(), fmt::format("{}", meter.constant.imp_per_kwh),
                   fmt::format("{}", meter.max_kw), local_text(meter.added_at),
                   meter.classic ? fmt::format("classic: {}, {}", meter.classic->up, meter.classic->down)
                                 : "sealed"});
    }
    return table.text();
}

std::string meters_json(std::span<const MeterEntry> meters)
{
    Json rows = Json::array();
    for (const MeterEntry& meter : meters) {
        Json row{{"id", meter.id.text()},
                 {"imp_per_kwh", meter.constant.imp_per_kwh},
                 {"max_kw", meter.max_kw},
                 {"added_at", utc_text(meter.added_at)},
                 {"wire", text(meter.wire())}};
        if (meter.classic) {
            row["up_topic"] = meter.classic->up;
            row["down_topic"] = meter.classic->down;
        }
        rows.push_back(std::move(row));
    }
    return Json{{"meters", std::move(rows)}}.dump() + "\n";
}

std::string status_table(std::span<const MeterStatus> meters, const Tariff& tariff, WallTime now)
{
    TextTable table({{"METER"},
                     {"TOTAL", Align::right},
                     {"COST", Align::right},
                     {"POWER", Align::right},
                     {"SOURCE"},
                     {"LAST READING"},
                     {"WIRE"},
                     {"STATE"}});
    for (const MeterStatus& meter : meters) {
        if (!meter.summary) {
            table.add({meter.id.text(), "-", "-", "-", "-", "-", text(meter.wire), "no reading yet"});
            continue;
        }
        const Reading& newest = meter.summary->newest;
        table.add({meter.id.text(), people_kwh(newest), people_cost(meter.summary->consumption, tariff),
                   people_watts(newest.power), std::string(text(newest.source)),
                   local_text(best_time(newest, meter.summary->received_at)), text(meter.wire),
                   state_words(meter, now)});
    }
    return table.text();
}

std::string status_json(std::span<const MeterStatus> meters, std::span<const LedgerAlarm> alarms,
                        const Tariff& tariff, WallTime now)
{
    Json rows = Json::array();
    for (const MeterStatus& meter : meters)
        rows.push_back(meter_json(meter, tariff, now));
    Json told = Json::array();
    for (const auto& [newest, times] : alarms) {
        told.push_back(as_json(newest));
        told.back()["times"] = times;
    }
    return Json{{"meters", std::move(rows)}, {"alarms", std::move(told)}}.dump() + "\n";
}

std::string alarms_text(std::span<const LedgerAlarm> alarms)
{
    std::string lines;
    for (const auto& [newest, times] : alarms) {
        lines +=
            fmt::format("alarm {}  {}  {}: {}{}\n", local_text(newest.at),
                        newest.meter ? newest.meter->text() : "this server", text(newest.kind), newest.detail,
                        times > 1 ? fmt::format(" ({} times in {} days)", times, alarms_shown.count()) : "");
    }
    return lines;
}

std::string event_row(const LedgerEvent& event)
{
    return fmt::format("{}  {:<12}  {:<19}  {}", local_text(event.at),
                       event.meter ? event.meter->text() : "-", text(event.kind), event.detail);
}

std::string event_json(const LedgerEvent& event)
{
    return Json(as_json(event)).dump();
}

std::string reading_row(const LedgerReading& row)
{
    const Reading& reading = row.reading;
    std::vector<std::string> notes = event_names(reading.events);
    if (reading.source == Source::unstated) {
        notes.emplace_back("time of receipt: the classic wire has no other");
    } else if (reading.clock == Clock::unsynchronised) {
        notes.emplace_back("time of receipt: the meter's clock was not set");
    }
    if (row.standing != Standing::admitted)
        notes.emplace_back(text(row.standing));
    const std::string line = fmt::format(
        "{}  {:>3}/{:<8} {:>16}  {:>8}  {:<9}  {}", local_text(best_time(reading, row.received_at)),
        reading.epoch.value, reading.sequence.value, people_kwh(reading), people_watts(reading.power),
        text(reading.source), joined(notes, ", "));
    return line.substr(0, line.find_last_not_of(' ') + 1);
}

std::string reading_json(const LedgerReading& row)
{
    const Reading& reading = row.reading;
    return Json{{"epoch", reading.epoch.value},
                {"sequence", reading.sequence.value},
                {"total_pulses", reading.total.value},
                {"total_kwh", kwh_text(reading.total, reading.constant, reading.start)},
                {"power_w", watts_json(reading.power)},
                {"source", text(reading.source)},
                {"measured_at", utc_text(reading.measured_at)},
                {"clock_synchronised", reading.clock == Clock::synchronised},
                {"received_at", utc_text(row.received_at)},
                {"standing", text(row.standing)},
                {"glitches", reading.quality.glitches},
                {"missed_edges", reading.quality.missed_edges},
                {"uncertain", reading.quality.uncertain},
                {"events", event_names(reading.events)}}
        .dump();
}

// No field can hold a comma or a quote.
std::string reading_csv(const LedgerReading& row)
{
    const Reading& reading = row.reading;
    return fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{}", reading.epoch.value, reading.sequence.value,
        reading.total.value, kwh_text(reading.total, reading.constant, reading.start),
        reading.power ? watts_text(*reading.power) : "", text(reading.source), utc_text(reading.measured_at),
        reading.clock == Clock::synchronised ? "true" : "false", utc_text(row.received_at),
        text(row.standing), reading.quality.glitches, reading.quality.missed_edges, reading.quality.uncertain,
        joined(event_names(reading.events), " "));
}

std::string held_table(std::span<const HeldReading> held)
{
    TextTable table({{"METER"},
                     {"EPOCH", Align::right},
                     {"SEQUENCE", Align::right},
                     {"TOTAL", Align::right},
                     {"REASON"},
                     {"FIRST SEEN"},
                     {"LAST SEEN"}});
    for (const HeldReading& row : held) {
        table.add({row.meter.text(), fmt::format("{}", row.reading.epoch.value),
                   fmt::format("{}", row.reading.sequence.value), people_kwh(row.reading),
                   std::string(text(row.reason)), local_text(row.first_seen), local_text(row.last_seen)});
    }
    return table.text();
}

std::string held_json(std::span<const HeldReading> held)
{
    Json rows = Json::array();
    for (const HeldReading& row : held) {
        rows.push_back({{"id", row.meter.text()},
                        {"epoch", row.reading.epoch.value},
                        {"sequence", row.reading.sequence.value},
                        {"total_pulses", row.reading.total.value},
                        {"total_kwh", kwh_text(row.reading.total, row.reading.constant, row.reading.start)},
                        {"source", text(row.reading.source)},
                        {"reason", text(row.reason)},
                        {"first_seen_at", utc_text(row.first_seen)},
                        {"last_seen_at", utc_text(row.last_seen)},
                        {"repeats", row.repeats}});
    }
    return Json{{"held", std::move(rows)}}.dump() + "\n";
}

} // namespace pulsemeter::report
