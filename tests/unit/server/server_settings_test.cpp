#include "server/meter_file.hpp"
#include "server/server_settings.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;

namespace {

ServerSettings parse(std::string_view text)
{
    return parse_server_settings(text, "server.toml");
}

std::string refusal(std::string_view text)
{
    try {
        (void)parse(text);
    } catch (const UsageError& error) {
        return error.what();
    }
    return "accepted";
}

bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace

BOOST_AUTO_TEST_SUITE(server_settings)

BOOST_AUTO_TEST_CASE(what_init_writes_is_read_back)
{
    const BrokerUrl url{"broker.example", 1884};
    const ServerSettings settings = parse(initial_server_settings(url));
    BOOST_TEST((settings.broker.url == url));
    BOOST_TEST((settings.broker.version == MqttVersion::v5));
    BOOST_TEST(settings.tariff.price_per_unit_text() == "£0.00039");
}

BOOST_AUTO_TEST_CASE(the_tariff_has_defaults_and_the_broker_has_none)
{
    BOOST_TEST(parse("[broker]\nurl = \"mqtt://here\"\n").tariff.price_per_unit_text() == "£0.00039");
    BOOST_TEST(contains(refusal("[tariff]\ncurrency = \"£\"\n"), "url"));
}

BOOST_AUTO_TEST_CASE(price_currency_and_mqtt_version_are_taken)
{
    const ServerSettings settings = parse("[broker]\nurl = \"mqtt://here\"\nmqtt_version = \"3.1.1\"\n"
                                          "[tariff]\nprice_per_kwh = \"0.3127\"\ncurrency = \"€\"\n");
    BOOST_TEST((settings.broker.version == MqttVersion::v3_1_1));
    BOOST_TEST(settings.tariff.price_per_unit_text() == "€0.0003127");
}

BOOST_AUTO_TEST_CASE(a_refusal_names_file_line_and_key)
{
    const std::string broker = "[broker]\nurl = \"mqtt://here\"\n";
    for (const auto& [text, line, key] : {
             std::tuple{"[tariff]\nprice_per_kwh = \"cheap\"\n", "server.toml:4", "tariff.price_per_kwh"},
             std::tuple{"[tariff]\nprice_per_kwh = 0.39\n", "server.toml:4", "tariff.price_per_kwh"},
             std::tuple{"[tariff]\n\ncurrency = \"\"\n", "server.toml:5", "tariff.currency"},
             std::tuple{"[tariff]\nprice = \"0.39\"\n", "server.toml:4", "tariff.price"},
             std::tuple{"port = 1883\n", "server.toml:3", "broker.port"},
         }) {
        const std::string message = refusal(broker + text);
        BOOST_TEST(contains(message, line), message << " does not name " << line);
        BOOST_TEST(contains(message, key), message << " does not name " << key);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(meter_file)

BOOST_AUTO_TEST_CASE(a_meter_file_is_configuration_that_says_what_was_asked_for)
{
    const std::string content = text({.id = *MeterId::parse("hall"),
                                      .key = "c2VjcmV0",
                                      .constant = MeterConstant{3200},
                                      .max_kw = 17,
                                      .interval = std::chrono::seconds(60),
                                      .broker = {{"fd00::1", 1883}, MqttVersion::v3_1_1}});
    ConfigFile file = ConfigFile::parse(content, "hall.toml");
    auto meter = file.table("meter");
    BOOST_TEST(meter.required_string("id") == "hall");
    BOOST_TEST(meter.required_string("key") == "c2VjcmV0");
    BOOST_TEST(meter.integer("imp_per_kwh", 1, 1'000'000).value() == 3200);
    BOOST_TEST(meter.integer("max_kw", 1, 10'000).value() == 17);
    BOOST_TEST(meter.integer("interval_s", 1, 86'400).value() == 60);
    const BrokerSettings broker = read_broker(file.table("broker"));
    BOOST_TEST((broker.url == BrokerUrl{"fd00::1", 1883}));
    BOOST_TEST((broker.version == MqttVersion::v3_1_1));
    auto gpio = file.table("gpio");
    BOOST_TEST(gpio.required_string("line") == "GPIO17");
    BOOST_TEST(gpio.required_string("pull") == "up");
    BOOST_TEST(gpio.required_string("active") == "low");
    BOOST_TEST(gpio.required_string("filter") == "own");
    BOOST_TEST(file.table("simulation").required_string("model") == "uniform");
    BOOST_CHECK_NO_THROW(file.finish());
}

BOOST_AUTO_TEST_CASE(a_loopback_broker_is_recognised)
{
    for (const char* url :
         {"mqtt://localhost", "mqtt://127.0.0.1:1884", "mqtt://127.1.2.3", "mqtt://[::1]:1883"})
        BOOST_TEST(is_loopback(BrokerUrl::parse(url)), url << " is loopback");
    for (const char* url :
         {"mqtt://broker.example", "mqtt://192.168.0.127", "mqtt://[fd00::1]", "mqtt://localhost.example"})
        BOOST_TEST(!is_loopback(BrokerUrl::parse(url)), url << " is not loopback");
}

BOOST_AUTO_TEST_SUITE_END()
