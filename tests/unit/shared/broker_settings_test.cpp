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
    BOOST_TEST(
        (BrokerUrl::parse("mqtt://broker.example") == BrokerUrl{"broker.example", 1883, Transport::plain}));
    BOOST_TEST((BrokerUrl::parse("mqtt://192.168.1.5:1") == BrokerUrl{"192.168.1.5", 1}));
    BOOST_TEST((BrokerUrl::parse("mqtt://my_pi-2.local:65535") == BrokerUrl{"my_pi-2.local", 65535}));
    BOOST_TEST((BrokerUrl::parse("mqtt://[::1]") == BrokerUrl{"::1", 1883}));
    BOOST_TEST((BrokerUrl::parse("mqtt://[fe80::2]:1884") == BrokerUrl{"fe80::2", 1884}));
    BOOST_TEST((BrokerUrl::parse("mqtts://broker") == BrokerUrl{"broker", 8883, Transport::tls}));
    BOOST_TEST((BrokerUrl::parse("mqtts://[::1]:1") == BrokerUrl{"::1", 1, Transport::tls}));
}

BOOST_AUTO_TEST_CASE(a_url_is_shown_with_its_port)
{
    for (const std::string text : {"mqtt://broker:1883", "mqtt://[::1]:1884", "mqtts://broker:8883"})
        BOOST_TEST(BrokerUrl::parse(text).text() == text);
}

BOOST_AUTO_TEST_CASE(what_is_no_broker_url_is_quoted_and_told_what_is_allowed)
{
    for (const std::string_view url : {"",
                                       "broker",
                                       "broker:1883",
                                       "http://broker",
                                       "tcp://broker",
                                       "ssl://broker",
                                       "wss://broker",
                                       "mqtts:/broker",
                                       "mqtts://",
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

BrokerSettings read(std::string_view text)
{
    auto file = ConfigFile::parse(text, "/etc/pulsemeter/m.toml");
    const auto settings = read_broker(file.table("broker"));
    file.finish();
    return settings;
}

BOOST_AUTO_TEST_CASE(who_we_are_and_whom_we_trust_is_read)
{
    const auto settings =
        read("[broker]\nurl = 'mqtts://b'\nusername = 'hall'\npassword_file = 'secret'\n"
             "ca_file = '/ca.pem'\nclient_cert = 'c/hall.pem'\nclient_key = '../hall.key'\n");
    BOOST_TEST(settings.username == "hall");
    BOOST_TEST(settings.password_file == "/etc/pulsemeter/secret"); // beside the file
    BOOST_TEST(settings.tls.ca_file == "/ca.pem");
    BOOST_TEST(settings.tls.ca_folder.empty());
    BOOST_TEST(settings.tls.client_cert == "/etc/pulsemeter/c/hall.pem");
    BOOST_TEST(settings.tls.client_key == "/etc/pulsemeter/../hall.key");
    BOOST_TEST(read("[broker]\nurl = 'mqtts://b'\nca_folder = '/etc/ssl/certs'\n").tls.ca_folder ==
               "/etc/ssl/certs");
    BOOST_TEST(read("[broker]\nurl = 'mqtt://b'\n").username.empty());
}

BOOST_AUTO_TEST_CASE(what_does_not_go_together_is_refused)
{
    const auto refused = [](const std::string& lines) { return config_refusal("[broker]\n" + lines); };
    BOOST_TEST(contains(refused("url = 'mqtt://b'\npassword_file = 'x'\n"),
                        "m.toml:3: broker.password_file: a password goes with a user name"));
    for (const std::string key : {"ca_file", "ca_folder", "client_cert", "client_key"}) {
        BOOST_TEST(contains(refused("url = 'mqtt://b'\n" + key + " = 'x'\n"), "m.toml:3: broker." + key),
                   key);
        BOOST_TEST(contains(refused("url = 'mqtt://b'\n" + key + " = 'x'\n"), "mqtts://"), key);
        BOOST_TEST(contains(refused("url = 'mqtts://b'\n" + key + " = ''\n"), "is no file's name"), key);
    }
    BOOST_TEST(contains(refused("url = 'mqtts://b'\nca_file = 'x'\nca_folder = 'y'\n"), "not both"));
    BOOST_TEST(contains(refused("url = 'mqtts://b'\nclient_cert = 'x'\n"),
                        "m.toml:3: broker.client_cert: client_cert"));
    BOOST_TEST(contains(refused("url = 'mqtts://b'\nclient_key = 'x'\n"),
                        "m.toml:3: broker.client_key: client_cert"));
    for (const std::string name : {"''", "\"a\\nb\"", "\"\\u007f\""})
        BOOST_TEST(contains(refused("url = 'mqtt://b'\nusername = " + name + "\n"), "broker.username"), name);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
