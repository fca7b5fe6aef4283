#include "shared/shell_command.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;

BOOST_AUTO_TEST_SUITE(shell_command)

BOOST_AUTO_TEST_CASE(a_word_is_one_word_whatever_is_in_it)
{
    BOOST_TEST(shell_word("UNITS1221") == "'UNITS1221'");
    BOOST_TEST(shell_word("a b;$c") == "'a b;$c'");
    BOOST_TEST(shell_word("it's") == R"('it'\''s')");
}

BOOST_AUTO_TEST_CASE(a_topic_is_cleared_at_the_broker_and_as_the_user_of_the_settings)
{
    BrokerSettings broker{.url = BrokerUrl::parse("mqtt://broker.example")};
    BOOST_TEST(clearing_command(broker, "UNITS1221") ==
               "mosquitto_pub -h broker.example -p 1883 -t 'UNITS1221' -r -n");
    broker.url = BrokerUrl::parse("mqtts://[::1]");
    broker.username = "hall way";
    BOOST_TEST(clearing_command(broker, "a") ==
               "mosquitto_pub -h ::1 -p 8883 -u 'hall way' --capath '/etc/ssl/certs' -t 'a' -r -n");
    broker.password_file = "/etc/pulsemeter/mqtt-password"; // never what is in it
    broker.tls = {.ca_file = "/ca.pem", .client_cert = "/c.pem", .client_key = "/c.key"};
    BOOST_TEST(clearing_command(broker, "a") ==
               "(unset p; p=$(cat '/etc/pulsemeter/mqtt-password') && d=$(mktemp -d) && "
               "trap 'rm -r \"$d\"' EXIT && trap 'exit 1' HUP INT TERM && "
               "printf '%s %s\\n' -P \"$p\" >\"$d/mosquitto_pub\" && "
               "XDG_CONFIG_HOME=\"$d\" mosquitto_pub -h ::1 -p 8883 -u 'hall way' "
               "--cafile '/ca.pem' --cert '/c.pem' --key '/c.key' -t 'a' -r -n)");
    broker.tls = {.ca_folder = "/cas"};
    BOOST_TEST(clearing_command(broker, "a").find("--capath '/cas' -t") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
