// The meter's configuration: every wrong line is named, and what is left out has a sound default.
#include "meter-pi/meter_settings.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

const std::string key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

std::string config(const std::string& meter = "", const std::string& rest = "")
{
    return "[meter]\nid = \"hall\"\nkey = \"" + key + "\"\n" + meter +
           "\n[broker]\nurl = \"mqtt://127.0.0.1\"\n" + rest;
}

void refused(const std::string& text, const std::string& part)
{
    const auto names_it = [&](const UsageError& error) {
        const std::string line = error.what();
        BOOST_TEST_INFO(line);
        return line.find("meter.toml:") != std::string::npos && line.find(part) != std::string::npos &&
               line.find('\n') == std::string::npos && line.find(key) == std::string::npos;
    };
    BOOST_CHECK_EXCEPTION((void)parse_meter_settings(text, "meter.toml"), UsageError, names_it);
}

} // namespace

BOOST_AUTO_TEST_SUITE(meter_settings)

BOOST_AUTO_TEST_CASE(the_least_that_a_configuration_needs)
{
    const auto settings = parse_meter_settings(config(), "meter.toml");
    BOOST_TEST(settings.id.text() == "hall");
    BOOST_TEST(settings.constant.imp_per_kwh == 1000U);
    BOOST_TEST(settings.max_kw == 43U);
    BOOST_TEST((settings.interval == 10s));
    BOOST_TEST(std::get<LineName>(settings.gpio.line).name == "GPIO17");
    BOOST_TEST((settings.gpio.pull == Pull::up));
    BOOST_TEST((settings.gpio.active == ActiveLevel::low));
    BOOST_TEST((settings.gpio.filter == FilterKind::own));
    BOOST_TEST((settings.simulation.model == SimulatedLoad::uniform));
}

BOOST_AUTO_TEST_CASE(the_classic_wire_has_topics_and_units_of_one_flash)
{
    BOOST_TEST(!parse_meter_settings(config("wire = \"sealed\"\n"), "meter.toml").classic.has_value());
    const auto classic = parse_meter_settings(config("wire = \"classic\"\n"), "meter.toml").classic;
    BOOST_TEST((classic == ClassicTopics{"UNITS1221", "UNITS1222"}));
    const auto named = parse_meter_settings(
        config("wire = \"classic\"\nup_topic = \"a\"\ndown_topic = \"b\"\n"), "meter.toml");
    BOOST_TEST((named.classic == ClassicTopics{"a", "b"}));
    refused(config("wire = \"open\"\n"), "\"classic\", \"sealed\"");
    refused(config("wire = \"classic\"\nup_topic = \"a/#\"\n"), "meter.up_topic");
    refused(config("wire = \"classic\"\ndown_topic = \"\"\n"), "meter.down_topic");
    refused(config("wire = \"classic\"\nup_topic = \"a\"\ndown_topic = \"a\"\n"), "the same as up_topic");
    refused(config("wire = \"classic\"\nimp_per_kwh = 3200\n"), "meter.imp_per_kwh");
    refused(config("up_topic = \"a\"\n"), "up_topic"); // of the sealed wire they are derived from the key
}

BOOST_AUTO_TEST_CASE(all_of_it)
{
    const auto settings = parse_meter_settings(
        config("imp_per_kwh = 10000\nmax_kw = 20\ninterval_s = 2\n",
               "mqtt_version = \"3.1.1\"\n[gpio]\nchip = \"pinctrl-rp1\"\noffset = 17\npull = "
               "\"none\"\nactive = \"high\"\n"
               "filter = \"kernel\"\nmin_width_us = 500\nmin_spacing_us = 700\ndebounce_us = 5000\n"
               "[simulation]\nmodel = \"household\"\nseed = 7\nspeed = 60\n"),
        "meter.toml");
    BOOST_TEST(std::get<LineOffset>(settings.gpio.line).chip_label == "pinctrl-rp1");
    BOOST_TEST(std::get<LineOffset>(settings.gpio.line).offset == 17U);
    BOOST_TEST((settings.gpio.own_filter.min_width == 500us));
    BOOST_TEST((settings.gpio.own_filter.min_spacing == 700us));
    BOOST_TEST((settings.gpio.debounce == 5ms));
    BOOST_TEST((settings.simulation.model == SimulatedLoad::household));
    BOOST_TEST(settings.simulation.seed == 7U);
    BOOST_TEST(settings.simulation.speed == 60U);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_is_named_and_the_key_is_never_shown)
{
    refused(config("imp_per_kw = 5\n"), "imp_per_kw");
    refused(config("imp_per_kwh = 0\n"), "imp_per_kwh");
    refused(config("imp_per_kwh = \"1000\"\n"), "imp_per_kwh");
    refused(config("interval_s = 1.5\n"), "interval_s");
    refused(config("", "[gpio]\nline = \"GPIO17\"\noffset = 17\n"), "line");
    refused(config("", "[gpio]\nchip = \"x\"\n"), "chip");
    refused(config("", "[gpio]\npull = \"sideways\"\n"), "\"down\", \"none\", \"up\"");
    refused(config("", "[gpoi]\nline = \"GPIO17\"\n"), "gpoi");
    refused("[meter]\nid = \"Hall\"\nkey = \"" + key + "\"\n[broker]\nurl = \"mqtt://h\"\n", "id");
    refused("[meter]\nid = \"hall\"\nkey = \"" + key.substr(1) + "\"\n[broker]\nurl = \"mqtt://h\"\n", "key");
    refused("[meter]\nid = \"hall\"\n[broker]\nurl = \"mqtt://h\"\n", "key");
    refused("[meter\n", "meter.toml");
}

BOOST_AUTO_TEST_SUITE_END()
