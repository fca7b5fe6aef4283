// How the ledger packs a reading into a row.
#include "server/packed_reading.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <algorithm>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

// Numbers of each length, not only huge ones.
rc::Gen<std::uint64_t> natural(std::uint64_t most)
{
    return rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::uint64_t>(), rc::gen::inRange(0, 64)),
                        [most](const auto& drawn) { return std::min(drawn.first >> drawn.second, most); });
}

rc::Gen<std::int64_t> whole()
{
    return rc::gen::map(rc::gen::pair(rc::gen::arbitrary<std::int64_t>(), rc::gen::inRange(0, 64)),
                        [](const auto& drawn) { return drawn.first >> drawn.second; });
}

std::uint32_t any_small()
{
    return static_cast<std::uint32_t>(*natural(UINT32_MAX));
}

PackedReading any_reading()
{
    PackedReading reading{.total = {*natural(largest_integer)},
                          .boot = *natural(largest_integer),
                          .uptime = Uptime{static_cast<Uptime::rep>(*natural(largest_integer))},
                          .drift = *whole(),
                          .delay = std::clamp(*whole(), -longest_delay, longest_delay),
                          .clock = *rc::gen::element(Clock::unsynchronised, Clock::synchronised),
                          .source = *rc::gen::element(Source::measured, Source::simulated, Source::unstated),
                          .standing = *rc::gen::element(Standing::admitted, Standing::accepted_by_operator,
                                                        Standing::discarded),
                          .delivery = *rc::gen::element(Delivery::live, Delivery::retained)};
    if (*rc::gen::arbitrary<bool>()) {
        reading.quality = {any_small(), any_small(), any_small()};
        reading.events = any_small();
    }
    if (*rc::gen::arbitrary<bool>())
        reading.power = Milliwatts{any_small()};
    return reading;
}

BOOST_AUTO_TEST_SUITE(packed_reading)

BOOST_AUTO_TEST_CASE(a_usual_reading_is_these_fourteen_bytes)
{
    const PackedReading usual{.total = {1'234'567},
                              .boot = 3,
                              .uptime = 40h,
                              .drift = -2,
                              .delay = 213,
                              .clock = Clock::synchronised,
                              .source = Source::measured,
                              .power = Milliwatts{450'000}};
    const Bytes bytes{0x19,                   // measured, clock synchronised, power follows
                      0x87, 0xad, 0x4b,       // 0x07 + 0x2d × 2^7 + 0x4b × 2^14
                      0x03,                   // boot 3
                      0x08, 0x95, 0x44, 0x00, // 144,000,000 ms
                      0xd6, 0x1a,             // 213 ms × 16 + 8 − 2
                      0x06, 0xdd, 0xd0};      // 450,000 mW
    BOOST_TEST(pack(usual) == bytes, boost::test_tools::per_element());
    BOOST_TEST((unpack(bytes) == usual));
}

BOOST_AUTO_TEST_CASE(what_is_packed_is_unpacked)
{
    BOOST_TEST(rc::check([] {
        const PackedReading reading = any_reading();
        const Bytes bytes = pack(reading);
        RC_ASSERT(bytes.size() <= 76U);
        RC_ASSERT((bytes < Bytes{0x80}) == (reading.standing != Standing::discarded)); // as SQL asks for it
        RC_ASSERT(unpack(bytes) == reading);
    }));
}

BOOST_AUTO_TEST_CASE(no_bytes_but_what_was_packed_are_a_reading)
{
    BOOST_TEST(rc::check([] {
        Bytes bytes = pack(any_reading());
        const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
        switch (*rc::gen::inRange(0, 3)) {
        case 0:
            bytes[at] = *rc::gen::arbitrary<std::uint8_t>();
            break;
        case 1:
            bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at));
            break;
        default:
            bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                         *rc::gen::arbitrary<std::uint8_t>());
        }
        const auto unpacked = unpack(bytes);
        RC_ASSERT(!unpacked || pack(*unpacked) == bytes);
    }));
}

BOOST_AUTO_TEST_CASE(each_kind_of_nonsense_is_refused)
{
    const Bytes good{0x11, 1, 1, 0, 0, 0, 1, 0x18, 9};
    BOOST_TEST_REQUIRE(unpack(good).has_value());
    const std::vector<std::pair<std::string, Bytes>> nonsense{
        {"nothing", {}},
        {"flags alone", {0x10}},
        {"an end too early", {0x10, 1, 1, 0, 0, 0, 1}},
        {"an end too late", {0x10, 1, 1, 0, 0, 0, 1, 0x18, 0}},
        {"no source", {0x00, 1, 1, 0, 0, 0, 1, 0x18}},
        {"a number longer than needed", {0x10, 0x81, 0, 1, 0, 0, 0, 1, 0x18}},
        {"a long uptime that is short", {0x50, 1, 1, 9, 0x18}},
        {"−0", {0x14, 1, 1, 0, 0, 0, 1, 8}},
        {"a long drift that is short", {0x10, 1, 1, 0, 0, 0, 1, 0x1f, 12}},
        {"a delay that is too long",
         {0x10, 1, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x50}},
        {"nothing that is rare", {0x12, 1, 1, 0, 0, 0, 1, 0x18, 0, 0, 0, 0, 0}},
        {"a rare flag that is none", {0x12, 1, 1, 0, 0, 0, 1, 0x18, 4, 1, 0, 0, 0}},
        {"accepted and discarded", {0x92, 1, 1, 0, 0, 0, 1, 0x18, 1, 0, 0, 0, 0}},
        {"2^32 glitches", {0x12, 1, 1, 0, 0, 0, 1, 0x18, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0}},
        {"power with a leading zero", {0x11, 1, 1, 0, 0, 0, 1, 0x18, 0, 9}},
        {"power of five bytes", {0x11, 1, 1, 0, 0, 0, 1, 0x18, 1, 2, 3, 4, 5}},
        {"a total of 2^63",
         {0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 1, 0, 0, 0, 1, 0x18}},
        {"a total of 2^64",
         {0x10, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2, 1, 0, 0, 0, 1, 0x18}}};
    for (const auto& [what, bytes] : nonsense)
        BOOST_TEST(!unpack(bytes).has_value(), what);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
