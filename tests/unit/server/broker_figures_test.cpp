#include "server/broker_figures.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

namespace pulsemeter {
namespace {

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(broker_figures)

BOOST_AUTO_TEST_CASE(the_figures_that_people_ask_for_are_shown_by_name)
{
    BrokerFigures figures;
    BOOST_TEST(figures.empty());
    figures.note("house/$SYS/power", "5");
    BOOST_TEST(figures.empty());
    figures.note("$SYS/broker/version", "mosquitto version 2.0.11");
    figures.note("$SYS/broker/clients/connected", "3");
    figures.note("$SYS/broker/clients/connected", "4");
    figures.note("$SYS/broker/something/else", "5");
    const auto table = figures.table();
    BOOST_TEST(contains(table, "version            mosquitto version 2.0.11\n"), table);
    BOOST_TEST(contains(table, "clients connected  4\n"), table);
    BOOST_TEST(!contains(table, "something"), table);
}

BOOST_AUTO_TEST_CASE(a_broker_with_other_figures_is_shown_by_topic)
{
    BrokerFigures figures;
    figures.note("$SYS/brokers/one/load", "\x1b[31mhigh");
    const auto table = figures.table();
    BOOST_TEST(contains(table, "$SYS/brokers/one/load  \\x1b[31mhigh\n"), table);
}

BOOST_AUTO_TEST_CASE(json_has_all_of_them_and_bears_any_byte)
{
    BrokerFigures figures;
    BOOST_TEST(figures.json("mqtt://b:1883") ==
               "{\"broker\":\"mqtt://b:1883\",\"sys_refused\":false,\"sys\":{}}\n");
    figures.note("$SYS/a", "\xff\x1b");
    figures.note("$SYS/b", "1");
    const auto json = nlohmann::json::parse(figures.json("mqtt://b:1883"));
    BOOST_TEST(json["sys"].size() == 2U);
    BOOST_TEST(json["sys"]["$SYS/b"] == "1");
    BOOST_TEST(!contains(figures.json(""), "\x1b"));
}

BOOST_AUTO_TEST_CASE(json_tells_a_broker_that_refuses_from_one_that_has_none)
{
    BrokerFigures figures;
    figures.note_refusal();
    BOOST_TEST(figures.refused());
    BOOST_TEST(figures.json("b") == "{\"broker\":\"b\",\"sys_refused\":true,\"sys\":{}}\n");
}

BOOST_AUTO_TEST_CASE(I2_a_broker_that_sends_figures_without_end_fills_no_memory)
{
    BrokerFigures figures;
    for (int at = 0; at < 5000; ++at)
        figures.note("$SYS/" + std::to_string(at), "x");
    BOOST_TEST(nlohmann::json::parse(figures.json(""))["sys"].size() == 1000U);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
