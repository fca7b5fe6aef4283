// Which source a run takes (row C7): a measured register never takes a simulated pulse.
#include "meter-pi/sources.hpp"
#include "shared/errors.hpp"

#include <boost/test/unit_test.hpp>

using namespace pulsemeter;

namespace {
constexpr auto all_kinds = {SourceKind::automatic, SourceKind::gpio, SourceKind::simulate,
                            SourceKind::replay};
constexpr auto all_presences = {LinePresence::found, LinePresence::no_gpio, LinePresence::not_there};
} // namespace

BOOST_AUTO_TEST_SUITE(sources)

BOOST_AUTO_TEST_CASE(C7_a_register_once_fed_by_hardware_is_never_simulated)
{
    for (const auto fallback : {Fallback::simulation, Fallback::none})
        for (const auto kind : all_kinds)
            for (const auto presence : all_presences)
                BOOST_TEST(
                    (decide(kind, presence, History::fed_by_hardware, fallback) != SourceDecision::simulate));
}

BOOST_AUTO_TEST_CASE(C7_auto_simulates_only_where_no_chip_has_header_lines)
{
    const auto fresh = History::never_fed;
    BOOST_TEST((decide(SourceKind::automatic, LinePresence::no_gpio, fresh, Fallback::simulation) ==
                SourceDecision::simulate));
    BOOST_TEST((decide(SourceKind::automatic, LinePresence::found, fresh, Fallback::simulation) ==
                SourceDecision::take_line));
    BOOST_TEST((decide(SourceKind::automatic, LinePresence::not_there, fresh, Fallback::simulation) ==
                SourceDecision::refuse_missing));
}

BOOST_AUTO_TEST_CASE(C7_on_the_classic_wire_simulation_wants_to_be_asked_for)
{
    const auto with = [](SourceKind kind, LinePresence presence) {
        return decide(kind, presence, History::never_fed, Fallback::none);
    };
    BOOST_TEST((with(SourceKind::automatic, LinePresence::no_gpio) == SourceDecision::refuse_falling_back));
    BOOST_TEST((with(SourceKind::automatic, LinePresence::not_there) == SourceDecision::refuse_missing));
    BOOST_TEST((with(SourceKind::automatic, LinePresence::found) == SourceDecision::take_line));
    BOOST_TEST((with(SourceKind::simulate, LinePresence::no_gpio) == SourceDecision::simulate));
}

BOOST_AUTO_TEST_CASE(C7_a_missing_line_is_waited_for_once_it_has_fed_the_register)
{
    for (const auto fallback : {Fallback::simulation, Fallback::none})
        for (const auto kind : {SourceKind::automatic, SourceKind::gpio})
            for (const auto presence : {LinePresence::no_gpio, LinePresence::not_there})
                BOOST_TEST((decide(kind, presence, History::fed_by_hardware, fallback) ==
                            SourceDecision::wait_for_line));
}

BOOST_AUTO_TEST_CASE(gpio_never_simulates_and_simulate_never_takes_a_line)
{
    const auto fresh = History::never_fed;
    BOOST_TEST((decide(SourceKind::gpio, LinePresence::no_gpio, fresh, Fallback::simulation) ==
                SourceDecision::refuse_missing));
    BOOST_TEST((decide(SourceKind::gpio, LinePresence::not_there, fresh, Fallback::simulation) ==
                SourceDecision::refuse_missing));
    for (const auto presence : all_presences) {
        BOOST_TEST((decide(SourceKind::simulate, presence, fresh, Fallback::simulation) ==
                    SourceDecision::simulate));
        BOOST_TEST(
            (decide(SourceKind::replay, presence, fresh, Fallback::simulation) == SourceDecision::simulate));
        BOOST_TEST((decide(SourceKind::simulate, presence, History::fed_by_hardware, Fallback::simulation) ==
                    SourceDecision::refuse_simulating));
    }
}

BOOST_AUTO_TEST_CASE(a_build_without_libgpiod_says_so)
{
#ifdef PULSEMETER_WITH_GPIOD
    BOOST_TEST(gpio_support().starts_with("libgpiod 2"));
#else
    BOOST_TEST(gpio_support() == "without GPIO: simulation and replay only");
    const auto line = look_for_line(GpioSettings{}.line);
    BOOST_TEST_REQUIRE(!line.has_value());
    BOOST_TEST((line.error().trouble == LineTrouble::no_gpio));
    BOOST_TEST(line.error().message.find("without libgpiod 2") != std::string::npos);
#endif
}

BOOST_AUTO_TEST_CASE(the_words_of_the_command_line)
{
    BOOST_TEST((SourceRequest::parse("auto").kind == SourceKind::automatic));
    BOOST_TEST((SourceRequest::parse("replay=a=b.trace").kind == SourceKind::replay));
    BOOST_TEST(SourceRequest::parse("replay=a=b.trace").trace.string() == "a=b.trace");
    for (const char* wrong : {"", "Auto", "replay", "replay=", "gpio17", "simulate "})
        BOOST_CHECK_THROW((void)SourceRequest::parse(wrong), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
