#include "samples.hpp"
#include "server/traffic.hpp"
#include "shared/reading_codec.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

namespace pulsemeter {
namespace {

const MeterId hall = meter_id("hall");

crypto::MeterKeys keys()
{
    std::array<std::uint8_t, 32> bytes{};
    bytes.fill(7);
    return crypto::derive(crypto::MasterKey(bytes), hall);
}

Traffic with_hall()
{
    Traffic traffic;
    traffic.add_meter(hall, keys());
    return traffic;
}

template <typename Message>
std::string sealed(const crypto::FernetKey& key, const Message& message)
{
    return crypto::Fernet(key).seal(encode(hall, message), 0, {});
}

UpMessage reading()
{
    return sample(1, 5, 48);
}

std::string line(const Received& message)
{
    auto traffic = with_hall();
    return traffic.line(message, WallTime{});
}

bool contains(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(traffic)

BOOST_AUTO_TEST_CASE(what_is_ours_is_opened)
{
    const auto up = line({keys().up_topic, sealed(keys().up, reading()), 1, true});
    BOOST_TEST(
        contains(up, keys().up_topic + ", QoS 1, retained, 248 bytes: meter hall: reading 1/5, 48 pulses"),
        up);
    const auto down =
        line({keys().down_topic, sealed(keys().down, DownMessage{Confirmation{{1}, {2}, {5}}}), 0, false});
    BOOST_TEST(
        contains(down, keys().down_topic + ", QoS 0, 248 bytes: to meter hall: confirmed 1/2 to 1/5\n"),
        down);
}

BOOST_AUTO_TEST_CASE(what_is_not_ours_is_marked)
{
    BOOST_TEST(contains(line({"a/b", "hello", 0, false}), "a/b, QoS 0, 5 bytes: not ours: hello\n"));
    BOOST_TEST(contains(line({keys().up_topic, "junk", 0, false}),
                        "not ours, though on the topic of meter hall: junk"));
    // sealed with the wrong key for its topic: an echo
    BOOST_TEST(
        contains(line({keys().down_topic, sealed(keys().up, reading()), 0, false}), "not ours, though"));
    BOOST_TEST(contains(Traffic::sealed_line({"a", "b", 1, false}, WallTime{}), "a, QoS 1, 1 bytes: b\n"));
}

BOOST_AUTO_TEST_CASE(what_is_ours_on_the_classic_wire_is_opened)
{
    Traffic traffic;
    traffic.add_meter(hall, keys().up, {});
    const auto line = [&traffic](const std::string& topic, const std::string& total) {
        const std::vector<std::uint8_t> plain(total.begin(), total.end());
        return traffic.line({topic, crypto::Fernet(keys().up).seal(plain, 0, {}), 1, topic == "UNITS1221"},
                            WallTime{});
    };
    const auto up = line("UNITS1221", "4711");
    BOOST_TEST(contains(up, "UNITS1221, QoS 1, retained, 100 bytes: meter hall: total 4711, classic\n"), up);
    const auto down = line("UNITS1222", "4711");
    BOOST_TEST(contains(down, "UNITS1222, QoS 1, 100 bytes: to meter hall: confirmed total 4711, classic\n"),
               down);
    BOOST_TEST(contains(line("UNITS1221", "-1"), "not ours, though on the topic of meter hall: gAAAA"));
    BOOST_TEST(contains(traffic.line({"UNITS1222", "junk", 1, false}, WallTime{}), "not ours, though"));
}

BOOST_AUTO_TEST_CASE(nothing_that_a_terminal_would_act_on_gets_through)
{
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    all += "\x1b[2J\xc2\x9b"
           "31m\r\n";
    for (const auto& shown : {line({all, all, 1, false}), line({keys().up_topic, all, 1, false}),
                              Traffic::sealed_line({all, all, 1, false}, WallTime{})}) {
        BOOST_TEST(std::count(shown.begin(), shown.end(), '\n') == 1); // and that at the end
        for (std::size_t at = 0; at + 1 < shown.size(); ++at) {
            const auto byte = static_cast<unsigned char>(shown[at]);
            BOOST_TEST((byte >= 0x20 && byte < 0x7f));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_long_payload_is_cut)
{
    const auto shown = line({"a", std::string(4096, 'x'), 1, false});
    BOOST_TEST(contains(shown, "4096 bytes"));
    BOOST_TEST(shown.size() < 400U);
}

BOOST_AUTO_TEST_CASE(a_filter_is_what_mqtt_says)
{
    for (const std::string good : {"#", "+", "a", "/", "a/b", "a/+/c", "a/#", "+/#", "$SYS/#", "\xc3\xbc/b"})
        BOOST_TEST(!why_no_filter(good), good);
    for (const std::string bad :
         {"", "a#", "#/a", "a/#/b", "a+", "+a", "a/b+/c", "##", "a\nb", "\x1b", "\xff", "$share/x/#"})
        BOOST_TEST(why_no_filter(bad).has_value(), bad);
    BOOST_TEST(why_no_filter(std::string(65'536, 'a')).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
