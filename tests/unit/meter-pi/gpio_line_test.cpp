#include "meter-pi/gpio_line.hpp"
#include "shared/errors.hpp"

#include <boost/test/unit_test.hpp>

#include <cerrno>
#include <string>

using namespace pulsemeter;

namespace {

// A Pi 4: the header's chip, and a small one for what is on the board.
std::vector<ChipSeen> pi()
{
    return {{"/dev/gpiochip0",
             ChipAccess::open,
             "pinctrl-bcm2711",
             {{"ID_SDA", {}}, {"GPIO17", {}}, {"GPIO27", "spi0 CS0"}}},
            {"/dev/gpiochip1", ChipAccess::open, "raspberrypi-exp-gpio", {{"BT_ON", "shutdown"}, {"", {}}}}};
}

bool names(const std::string& message, const std::string& part)
{
    return message.find(part) != std::string::npos;
}

NoLine trouble(const LinePlace& place, const std::vector<ChipSeen>& chips)
{
    const auto line = choose_line(place, chips);
    BOOST_REQUIRE(!line.has_value());
    BOOST_TEST(!names(line.error().message, "\n"));
    return line.error();
}

template <typename Exception>
std::string refusal(int error, const std::string& holder = "")
{
    try {
        refuse_request({"/dev/gpiochip0", 17}, error, holder);
    } catch (const Exception& failure) {
        return failure.what();
    }
}

} // namespace

BOOST_AUTO_TEST_SUITE(gpio_line)

BOOST_AUTO_TEST_CASE(a_line_is_found_by_its_name_over_all_chips)
{
    auto chips = pi();
    const auto line = choose_line(LineName{"GPIO17"}, chips);
    BOOST_REQUIRE(line.has_value());
    BOOST_TEST(line->chip == "/dev/gpiochip0");
    BOOST_TEST(line->offset == 1U);
    chips[1].lines[1].name = "GPIO40";
    BOOST_TEST(choose_line(LineName{"GPIO40"}, chips).value().chip == "/dev/gpiochip1");
}

BOOST_AUTO_TEST_CASE(a_line_is_found_by_chip_label_and_offset)
{
    const auto line = choose_line(LineOffset{"raspberrypi-exp-gpio", 1}, pi());
    BOOST_REQUIRE(line.has_value());
    BOOST_TEST(line->chip == "/dev/gpiochip1");
    BOOST_TEST(line->offset == 1U);
}

BOOST_AUTO_TEST_CASE(C7_only_a_machine_without_a_header_has_no_gpio)
{
    BOOST_TEST((trouble(LineName{"GPIO17"}, {}).trouble == LineTrouble::no_gpio));
    const std::vector<ChipSeen> laptop{
        {"/dev/gpiochip0", ChipAccess::open, "INT34C5:00", {{"", {}}, {"GPIO_LED", {}}}}};
    BOOST_TEST((trouble(LineName{"GPIO17"}, laptop).trouble == LineTrouble::no_gpio));

    const auto wrong_name = trouble(LineName{"GPIO99"}, pi());
    BOOST_TEST((wrong_name.trouble == LineTrouble::not_there));
    BOOST_TEST(names(wrong_name.message, "GPIO99"));
    BOOST_TEST((trouble(LineOffset{"pinctrl-bcm2711", 3}, pi()).trouble == LineTrouble::not_there));
    const std::vector<ChipSeen> unnamed_pi{{"/dev/gpiochip0", ChipAccess::open, "pinctrl-rp1", {{"", {}}}}};
    BOOST_TEST((trouble(LineName{"GPIO17"}, unnamed_pi).trouble == LineTrouble::not_there));
    const std::vector<ChipSeen> board{
        {"/dev/gpiochip0", ChipAccess::open, "9030000.pl061", {{"GPIO17", {}}}}};
    BOOST_TEST((trouble(LineName{"GPIO27"}, board).trouble == LineTrouble::not_there));
}

BOOST_AUTO_TEST_CASE(several_lines_of_that_name_are_all_named)
{
    auto chips = pi();
    chips[1].lines[1].name = "GPIO17";
    const auto several = trouble(LineName{"GPIO17"}, chips);
    BOOST_TEST((several.trouble == LineTrouble::several));
    BOOST_TEST(names(several.message, "line 1 of /dev/gpiochip0, line 1 of /dev/gpiochip1"));
}

BOOST_AUTO_TEST_CASE(a_chip_that_may_not_be_opened_matters_only_if_the_line_is_nowhere_else)
{
    auto chips = pi();
    chips[1] = {"/dev/gpiochip1", ChipAccess::denied, "", {}};
    BOOST_TEST(choose_line(LineName{"GPIO17"}, chips).has_value());
    chips[0] = {"/dev/gpiochip0", ChipAccess::denied, "", {}};
    const auto denied = trouble(LineName{"GPIO17"}, chips);
    BOOST_TEST((denied.trouble == LineTrouble::permission_denied));
    BOOST_TEST(names(denied.message, "/dev/gpiochip0"));
    BOOST_TEST(names(denied.message, "usermod -aG gpio"));
}

BOOST_AUTO_TEST_CASE(who_holds_a_line_is_named)
{
    const auto held = trouble(LineName{"GPIO27"}, pi());
    BOOST_TEST((held.trouble == LineTrouble::held));
    BOOST_TEST(names(held.message, "spi0 CS0"));
    BOOST_TEST(names(held.message, "line 2 of /dev/gpiochip0"));
    auto chips = pi();
    chips[0].lines[1].holder = "";
    BOOST_TEST(names(trouble(LineName{"GPIO17"}, chips).message, "the kernel or a program without a name"));
}

BOOST_AUTO_TEST_CASE(a_place_is_named_for_people)
{
    BOOST_TEST(text(LinePlace(LineName{"GPIO17"})) == "GPIO17");
    BOOST_TEST(text(LinePlace(LineOffset{"pinctrl-bcm2711", 17})) == "line 17 of pinctrl-bcm2711");
}

BOOST_AUTO_TEST_CASE(a_refused_request_says_what_to_do)
{
    const auto busy = refusal<UsageError>(EBUSY, "meter-pi");
    BOOST_TEST(names(busy, "line 17 of /dev/gpiochip0"));
    BOOST_TEST(names(busy, "\"meter-pi\""));
    BOOST_TEST(names(refusal<UsageError>(EACCES), "usermod -aG gpio"));
    BOOST_TEST(names(refusal<UsageError>(EPERM), "usermod -aG gpio"));
    BOOST_TEST(names(refusal<SensorMissing>(ENODEV), "/dev/gpiochip0"));
    BOOST_TEST(names(refusal<SensorMissing>(ENOENT), "/dev/gpiochip0"));
    BOOST_TEST(names(refusal<std::runtime_error>(EINVAL), "Invalid argument"));
    BOOST_CHECK_EXCEPTION(refuse_request({"/dev/gpiochip0", 17}, EINVAL, ""), std::runtime_error,
                          [](const std::runtime_error& error) {
                              return dynamic_cast<const UsageError*>(&error) == nullptr &&
                                     dynamic_cast<const SensorMissing*>(&error) == nullptr;
                          });
}

BOOST_AUTO_TEST_SUITE_END()
