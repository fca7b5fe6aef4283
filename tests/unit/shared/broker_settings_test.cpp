#include "shared/broker_settings.hpp"
#include "surroundings.hpp"

namespace pulsemeter {
namespace {

std::string refusal(std::string_view url)
{
    return message_of<UsageError>([&] { static_cast<void>(BrokerUrl::parse(url)); });
}

std::string config_refusal(std::string_view text)
{
    return message_of<UsageError>([&] {
        auto file = ConfigFile::parse(text, "m.toml");
        static_cast<void>(read_broker(file.table("broker")));
        file.finish();
    });
}

BOOST_AUTO_TEST_SUITE(broker_settings)

BOOST_AUTO_TEST_CASE(host_and_port_come_out_of_a_url)
{
    BOOST_TEST((BrokerUrl::parse("mqtt://broker.example") == BrokerUrl{"broker.example", 1883}));
    BOOST_TEST((BrokerUrl::parse("mqtt://192.168.1.5:1") == BrokerUrl{"192.168.1.5", 1}));
    BOOST_TEST((BrokerUrl::parse("mqtt://my_pi-2.local:65535") == BrokerUrl{"my_pi-2.local", 65535}));
    BOOST_TEST((BrokerUrl::parse("mqtt://[::1]") == BrokerUrl{"::1", 1883}));
    BOOST_TEST((BrokerUrl::parse("mqtt://[fe80::2]:1884") == BrokerUrl{"fe80::2", 1884}));
}

BOOST_AUTO_TEST_CASE(a_url_is_shown_with_its_port)
{
    for (const std::string text : {"mqtt://broker:1883", "mqtt://[::1]:1884"})
        BOOST_TEST(BrokerUrl::parse(text).text() == text);
}

BOOST_AUTO_TEST_CASE(what_is_no_broker_url_is_quoted_and_told_what_is_allowed)
{
    for (const std::string_view url : {"",
                                       "broker",
                                       "broker:1883",
                                       "http://broker",
                                       "tcp://broker",
                                       "MQTT://broker",
                                       "mqtt:",
                                       "mqtt://",
                                       "mqtt://:1883",
                                       "mqtt://bro ker",
                                       "mqtt://broker/",
                                       "mqtt://broker/topic",
                                       "mqtt://broker:1883/",
                                       "mqtt://broker?x",
                                       "mqtt://::1",
                                       "mqtt://[::1",
                                       "mqtt://[]",
                                       "mqtt://[broker]",
                                       "mqtt://[::1]x",
                                       "mqtt://[1.2.3.4]",
                                       "mqtt://bröker"}) {
        const auto message = refusal(url);
        BOOST_TEST(contains(message, '"' + std::string(url) + '"'), url << ": " << message);
        BOOST_TEST(contains(message, "allowed: mqtt://HOST"), url << ": " << message);
    }
    BOOST_TEST(!refusal("mqtt://" + std::string(254, 'a')).empty());
    BOOST_TEST(!refusal(std::string_view("mqtt://a\0b", 10)).empty());
    BOOST_TEST(!refusal(std::string_view("mqtt://[::1\0x]", 14)).empty());
}

BOOST_AUTO_TEST_CASE(a_port_is_a_number_from_1_to_65535)
{
    for (const std::string_view port :
         {"", "0", "65536", "-1", "+1", "18 83", "1883x", "0x10", "99999999999"})
        BOOST_TEST(contains(refusal("mqtt://broker:" + std::string(port)), "from 1 to 65535"), port);
}

BOOST_AUTO_TEST_CASE(A1_tls_is_refused_rather_than_left_out)
{
    for (const std::string_view url : {"mqtts://broker", "ssl://broker", "mqtts://broker:8883"})
        BOOST_TEST(contains(refusal(url), "TLS is not supported yet in this version"), url);
}

BOOST_AUTO_TEST_CASE(K7_a_password_in_a_url_is_refused_and_not_repeated)
{
    for (const std::string_view url : {"mqtt://user:s3cret@broker", "mqtts://user:s3cret@broker",
                                       "mqtt://s3cret@broker:1883", "s3cret@broker"}) {
        const auto message = refusal(url);
        BOOST_TEST(contains(message, "no user name or password"), url << ": " << message);
        BOOST_TEST(!contains(message, "s3cret"), message);
    }
}

BOOST_AUTO_TEST_CASE(the_broker_table_is_read)
{
    auto file = ConfigFile::parse("[broker]\nurl = \"mqtt://b:1\"\nmqtt_version = \"3.1.1\"\n", "m.toml");
    const auto settings = read_broker(file.table("broker"));
    file.finish();
    BOOST_TEST((settings.url == BrokerUrl{"b", 1}));
    BOOST_TEST((settings.version == MqttVersion::v3_1_1));

    auto shortest = ConfigFile::parse("[broker]\nurl = \"mqtt://b:1\"\n", "m.toml");
    BOOST_TEST((read_broker(shortest.table("broker")).version == MqttVersion::v5));
    auto explicitly = ConfigFile::parse("[broker]\nurl = \"mqtt://b:1\"\nmqtt_version = \"5\"\n", "m.toml");
    BOOST_TEST((read_broker(explicitly.table("broker")).version == MqttVersion::v5));
}

BOOST_AUTO_TEST_CASE(a_wrong_broker_table_names_file_line_and_key)
{
    BOOST_TEST(config_refusal("[broker]\n").starts_with("m.toml:1: broker.url: is missing"));
    BOOST_TEST(
        config_refusal("\n[broker]\nurl = 'broker'\n").starts_with("m.toml:3: broker.url: \"broker\""));
    BOOST_TEST(config_refusal("[broker]\nurl = 'mqtt://b'\nmqtt_version = '4'\n") ==
               "m.toml:3: broker.mqtt_version: unknown; allowed: \"5\" or \"3.1.1\"");
    BOOST_TEST(config_refusal("[broker]\nurl = 'mqtt://b'\nmqtt_version = 5\n") ==
               "m.toml:3: broker.mqtt_version: is a whole number; must be a text in quotes");
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
