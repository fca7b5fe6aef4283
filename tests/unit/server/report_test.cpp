#include "server/report.hpp"
#include "server/text_table.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <ctime>

using namespace pulsemeter;
using nlohmann::json;

namespace {

const MeterId hall = *MeterId::parse("hall");
const Tariff tariff = *Tariff::parse("0.39", "£");
const WallTime noon{std::chrono::milliseconds(1'663'416'000'000)}; // 2022-09-17T12:00:00Z

Reading reading_of(std::uint64_t total)
{
    Reading reading;
    reading.epoch = Epoch{1};
    reading.sequence = Sequence{7};
    reading.total = Pulses{total};
    reading.measured_at = noon;
    reading.clock = Clock::synchronised;
    reading.source = Source::measured;
    return reading;
}

std::string line_of(const Reading& reading, std::uint64_t used)
{
    const std::vector<ConsumedPulses> consumption{{reading.constant, Pulses{used}}};
    return report::reading_line(hall, reading, noon, consumption, tariff);
}

report::MeterStatus status_of(const Reading& reading, std::uint64_t used)
{
    MeterSummary summary;
    summary.newest = reading;
    summary.received_at = noon + std::chrono::milliseconds(250);
    summary.consumption = {{reading.constant, Pulses{used}}};
    summary.interval = std::chrono::seconds(10);
    return {hall, summary};
}

json status_json_of(const report::MeterStatus& meter, WallTime now)
{
    const json parsed = json::parse(report::status_json({&meter, 1}, {}, tariff, now));
    return parsed.at("meters").at(0);
}

struct Utc {
    Utc()
    {
        ::setenv("TZ", "UTC", 1);
        ::tzset();
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(report_, Utc)

BOOST_AUTO_TEST_CASE(a_reading_is_one_line_with_units_and_cost)
{
    BOOST_TEST(line_of(reading_of(42), 42) ==
               "2022-09-17 12:00:00  hall  Total Units = 42, Total Cost (@£0.00039 per unit): £0.0164\n");
    BOOST_TEST(line_of(reading_of(48), 48) ==
               "2022-09-17 12:00:00  hall  Total Units = 48, Total Cost (@£0.00039 per unit): £0.0187\n");
    BOOST_TEST(line_of(reading_of(52), 52) ==
               "2022-09-17 12:00:00  hall  Total Units = 52, Total Cost (@£0.00039 per unit): £0.0203\n");
}

BOOST_AUTO_TEST_CASE(watts_and_simulation_are_told)
{
    Reading reading = reading_of(48);
    reading.power = Milliwatts{120'500};
    reading.source = Source::simulated;
    BOOST_TEST(line_of(reading, 48) ==
               "2022-09-17 12:00:00  hall  Total Units = 48, Total Cost (@£0.00039 per "
               "unit): £0.0187, 121 W, simulated\n");
}

BOOST_AUTO_TEST_CASE(units_are_of_the_register_and_cost_is_of_what_was_used)
{
    Reading reading = reading_of(10'007); // at 10,000 a kWh 1000.7 Wh, which with the start value is 1500.6
    reading.constant = MeterConstant{10'000};
    reading.start = MilliwattHours{499'900};
    BOOST_TEST(line_of(reading, 10'000) ==
               "2022-09-17 12:00:00  hall  Total Units = 1500, Total Cost (@£0.00039 per unit): £0.3900\n");
}

BOOST_AUTO_TEST_CASE(C6_a_clock_that_is_not_set_is_not_believed)
{
    Reading reading = reading_of(48);
    reading.measured_at = WallTime{};
    reading.clock = Clock::unsynchronised;
    BOOST_TEST(line_of(reading, 48).starts_with("2022-09-17 12:00:00  hall"));
    BOOST_TEST(status_json_of(status_of(reading, 48), noon).at("last_reading_at") ==
               "2022-09-17T12:00:00.250Z");
}

BOOST_AUTO_TEST_CASE(an_envelope_can_not_speak_to_the_terminal)
{
    BOOST_TEST(report::envelope_line({"pulsemeter/a/up", "gAAAA-_=", 1, true}) ==
               "pulsemeter/a/up, QoS 1, retain 1: gAAAA-_=\n");
    BOOST_TEST(report::envelope_line({"a\nb", "\x1b[2J\xc2\x9b", 0, false}) ==
               "a?b, QoS 0, retain 0: ?[2J??\n");
    BOOST_TEST(report::envelope_line({"t", std::string(100'000, 'A'), 1, false}) ==
               "t, QoS 1, retain 0: " + std::string(400, 'A') + "... (100000 bytes)\n");
}

BOOST_AUTO_TEST_CASE(status_json_has_exactly_the_promised_fields)
{
    Reading reading = reading_of(48);
    reading.power = Milliwatts{120'500};
    report::MeterStatus meter = status_of(reading, 48);
    meter.summary->refused = 2;
    meter.summary->held = 1;
    meter.summary->gaps = {{{1}, {3}, Sequence{5}}, {{2}, {9}, std::nullopt}};
    BOOST_TEST(status_json_of(meter, noon) == json::parse(R"({
        "id": "hall", "epoch": 1, "sequence": 7, "total_pulses": 48, "total_kwh": "0.048", "cost": "0.0187",
        "currency": "£", "power_w": "120.5", "source": "measured", "last_reading_at": "2022-09-17T12:00:00.000Z",
        "last_received_at": "2022-09-17T12:00:00.250Z", "stale": false, "refused": 2, "held": 1,
        "gaps": [{"epoch": 1, "first": 3, "last": 5}, {"epoch": 2, "first": 9, "last": null}]})"));
    const std::string words = report::status_table(std::span(&meter, 1), tariff, noon);
    BOOST_TEST(
        words.find(", gap 3…5 since a restore, perhaps a gap from 9 on in epoch 2 since a restore\n") !=
        std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_meter_without_readings_is_listed_and_stale)
{
    BOOST_TEST(status_json_of({hall, std::nullopt}, noon) == json::parse(R"({
        "id": "hall", "epoch": null, "sequence": null, "total_pulses": null, "total_kwh": null, "cost": null,
        "currency": "£", "power_w": null, "source": null, "last_reading_at": null, "last_received_at": null,
        "stale": true, "refused": 0, "held": 0})"));
    BOOST_TEST(report::status_json({}, {}, tariff, noon) == "{\"meters\":[],\"alarms\":[]}\n");
}

BOOST_AUTO_TEST_CASE(three_silent_intervals_are_stale)
{
    const report::MeterStatus meter = status_of(reading_of(48), 48);
    BOOST_TEST(status_json_of(meter, noon + std::chrono::seconds(30)).at("stale") == false);
    BOOST_TEST(status_json_of(meter, noon + std::chrono::seconds(31)).at("stale") == true);
}

BOOST_AUTO_TEST_CASE(status_for_people_lines_up)
{
    Reading reading = reading_of(12'345'048);
    reading.power = Milliwatts{120'500};
    report::MeterStatus first = status_of(reading, 48);
    first.summary->held = 1;
    const std::vector<report::MeterStatus> meters{first,
                                                  {*MeterId::parse("attic-1"), std::nullopt, Wire::classic}};
    BOOST_TEST(
        report::status_table(meters, tariff, noon) ==
        "METER            TOTAL     COST  POWER  SOURCE    LAST READING         WIRE     STATE\n"
        "hall     12345.048 kWh  £0.0187  121 W  measured  2022-09-17 12:00:00  sealed   fresh, 1 held (see "
        "held list)\n"
        "attic-1              -        -      -  -         -                    classic  no reading yet\n");
}

BOOST_AUTO_TEST_CASE(the_past_of_a_meter_that_was_removed_is_shown_as_that)
{
    report::MeterStatus meter = status_of(reading_of(48), 48);
    meter.wire = std::nullopt;
    const json shown = status_json_of(meter, noon);
    BOOST_TEST(shown.at("removed") == true);
    BOOST_TEST(shown.at("stale") == true);
    BOOST_TEST(shown.at("total_pulses") == 48);
    BOOST_TEST(!shown.contains("wire"));
    BOOST_TEST(report::status_table({{meter}}, tariff, noon) ==
               "METER      TOTAL     COST  POWER  SOURCE    LAST READING         WIRE  STATE\n"
               "hall   0.048 kWh  £0.0187      -  measured  2022-09-17 12:00:00  -     removed\n");
}

BOOST_AUTO_TEST_CASE(a_reading_as_json_and_csv_says_the_same)
{
    LedgerReading row{reading_of(48), noon + std::chrono::milliseconds(250), Standing::admitted};
    row.reading.quality = {1, 2, 3};
    row.reading.events = static_cast<std::uint32_t>(MeterEvent::started) | (1U << 30U);
    BOOST_TEST(json::parse(report::reading_json(row)) == json::parse(R"({
        "epoch": 1, "sequence": 7, "total_pulses": 48, "total_kwh": "0.048", "power_w": null, "source": "measured",
        "measured_at": "2022-09-17T12:00:00.000Z", "clock_synchronised": true,
        "received_at": "2022-09-17T12:00:00.250Z", "standing": "admitted", "glitches": 1, "missed_edges": 2,
        "uncertain": 3, "events": ["started", "0x40000000"]})"));
    BOOST_TEST(report::reading_csv(row) == "1,7,48,0.048,,measured,2022-09-17T12:00:00.000Z,true,"
                                           "2022-09-17T12:00:00.250Z,admitted,1,2,3,started 0x40000000");
    const auto commas = [](std::string_view text) { return std::count(text.begin(), text.end(), ','); };
    BOOST_TEST(commas(report::csv_header) == commas(report::reading_csv(row)));
}

BOOST_AUTO_TEST_CASE(alarms_are_a_line_each_and_an_event_of_their_own)
{
    const LedgerEvent conflict{noon, EventKind::conflict, hall,
                               "epoch 1 reading 3 (total 4) refused: conflict"};
    const LedgerEvent contested{noon, EventKind::client_id_contested, std::nullopt,
                                "mqtt://b: connection lost"};
    const std::vector<LedgerAlarm> alarms{{conflict, 3}, {contested, 1}};
    BOOST_TEST(
        report::alarms_text(alarms) ==
        "alarm 2022-09-17 12:00:00  hall  conflict: epoch 1 reading 3 (total 4) refused: conflict (3 times "
        "in 7 "
        "days)\nalarm 2022-09-17 12:00:00  this server  client_id_contested: mqtt://b: connection lost\n");
    BOOST_TEST(report::alarms_text({}) == "");
    const json parsed = json::parse(report::status_json({}, alarms, tariff, noon));
    BOOST_TEST(parsed.at("alarms") == json::parse(R"([
        {"at": "2022-09-17T12:00:00.000Z", "kind": "conflict", "meter": "hall",
         "detail": "epoch 1 reading 3 (total 4) refused: conflict", "times": 3},
        {"at": "2022-09-17T12:00:00.000Z", "kind": "client_id_contested", "meter": null,
         "detail": "mqtt://b: connection lost", "times": 1}])"));
    BOOST_TEST(report::event_row(conflict) == "2022-09-17 12:00:00  hall          conflict             epoch "
                                              "1 reading 3 (total 4) refused: conflict");
    BOOST_TEST(json::parse(report::event_json(contested)).at("meter").is_null());
}

BOOST_AUTO_TEST_SUITE_END()
