// Properties of the codec over random messages. Deterministic vectors are in reading_codec_test.cpp.
#include "shared/reading_codec.hpp"

#include <boost/test/unit_test.hpp>
#include <rapidcheck.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace pulsemeter {
namespace {

// Both ends of a range are where codecs break, so they come up far more often than chance would have it.
template <typename Integer>
rc::Gen<Integer> between(Integer least, Integer most)
{
    return rc::gen::weightedOneOf<Integer>(
        {{2, rc::gen::just(least)},
         {2, rc::gen::just(most)},
         {6, rc::gen::map(rc::gen::arbitrary<std::uint64_t>(), [least, most](std::uint64_t random) {
              const auto span = static_cast<std::uint64_t>(most - least);
              const auto offset =
                  span == std::numeric_limits<std::uint64_t>::max() ? random : random % (span + 1);
              return static_cast<Integer>(least + static_cast<Integer>(offset));
          })}});
}

rc::Gen<std::uint32_t> any_u32()
{
    return between<std::uint32_t>(0, UINT32_MAX);
}
rc::Gen<std::uint64_t> up_to_largest(std::uint64_t least)
{
    return between<std::uint64_t>(least, largest_integer);
}
rc::Gen<std::array<std::uint8_t, 16>> sixteen()
{
    return rc::gen::container<std::array<std::uint8_t, 16>>(rc::gen::arbitrary<std::uint8_t>());
}
rc::Gen<Source> any_source()
{
    return rc::gen::element(Source::measured, Source::simulated);
}

MeterId any_meter()
{
    const auto size = *between<std::size_t>(1, MeterId::longest);
    const auto characters = rc::gen::elementOf(std::string("abcdefghijklmnopqrstuvwxyz0123456789-"));
    const auto id = MeterId::parse(*rc::gen::container<std::string>(size, characters));
    RC_ASSERT(id.has_value());
    return *id;
}

Reading any_reading()
{
    Reading reading;
    reading.epoch.value = *between<std::uint32_t>(1, UINT32_MAX);
    reading.sequence.value = *up_to_largest(1);
    reading.total.value = *up_to_largest(0);
    reading.constant.imp_per_kwh = *between<std::uint32_t>(1, largest_imp_per_kwh);
    reading.start.value = *up_to_largest(0);
    reading.measured_at = WallTime(std::chrono::milliseconds(*between<std::int64_t>(0, 253'402'300'799'999)));
    reading.clock = *rc::gen::element(Clock::unsynchronised, Clock::synchronised);
    reading.boot = *sixteen();
    reading.uptime = Uptime(static_cast<std::int64_t>(*up_to_largest(0)));
    reading.source = *any_source();
    reading.quality = {*any_u32(), *any_u32(), *any_u32()};
    reading.events = *any_u32();
    if (*rc::gen::arbitrary<bool>())
        reading.power = Milliwatts{*between<std::uint32_t>(0, UINT32_MAX - 1)};
    return reading;
}

Hello any_hello()
{
    Hello hello;
    hello.nonce = *sixteen();
    hello.has_register = *rc::gen::arbitrary<bool>();
    if (hello.has_register) {
        hello.epoch.value = *between<std::uint32_t>(1, UINT32_MAX);
        hello.sequence.value = *up_to_largest(0);
        hello.total.value = *up_to_largest(0);
    }
    hello.source = *any_source();
    hello.boot = *sixteen();
    return hello;
}

State any_state()
{
    State state;
    state.nonce = *sixteen();
    state.highest_epoch.value = *any_u32();
    state.epoch.value = *between<std::uint32_t>(0, state.highest_epoch.value);
    if (state.epoch.value > 0) {
        state.sequence.value = *up_to_largest(1);
        state.total.value = *up_to_largest(0);
        state.constant.imp_per_kwh = *between<std::uint32_t>(1, largest_imp_per_kwh);
        state.start.value = *up_to_largest(0);
    }
    return state;
}

Confirmation any_confirmation()
{
    Confirmation confirmation;
    confirmation.epoch.value = *between<std::uint32_t>(1, UINT32_MAX);
    confirmation.first.value = *up_to_largest(1);
    confirmation.last.value = *up_to_largest(confirmation.first.value);
    return confirmation;
}

Refused any_refused()
{
    return {Epoch{*between<std::uint32_t>(1, UINT32_MAX)}, Sequence{*up_to_largest(1)},
            static_cast<RefusalReason>(*between<std::uint8_t>(1, 5))};
}

UpMessage any_up()
{
    return *rc::gen::arbitrary<bool>() ? UpMessage(any_reading()) : UpMessage(any_hello());
}

DownMessage any_down()
{
    switch (*between<int>(0, 2)) {
    case 0:
        return any_state();
    case 1:
        return any_confirmation();
    default:
        return any_refused();
    }
}

rc::Gen<std::uint8_t> kind_outside(const std::set<int>& kinds)
{
    return rc::gen::suchThat(rc::gen::arbitrary<std::uint8_t>(),
                             [kinds](std::uint8_t kind) { return !kinds.contains(kind); });
}

// The first byte that a message leaves unused, from the layout tables of PROTOCOL.md.
std::size_t end_of_body(const Plaintext& bytes)
{
    constexpr std::array<std::size_t, 6> ends{0, 90, 88, 122, 56, 49};
    return ends.at(bytes[1]);
}

BOOST_AUTO_TEST_SUITE(reading_codec_properties)

BOOST_AUTO_TEST_CASE(I1_every_valid_message_comes_back_as_it_was)
{
    BOOST_TEST(rc::check("up", [] {
        const MeterId meter = any_meter();
        const UpMessage message = any_up();
        const auto decoded = decode_up(meter, encode(meter, message));
        RC_ASSERT(decoded.has_value());
        RC_ASSERT((*decoded == message));
    }));
    BOOST_TEST(rc::check("down", [] {
        const MeterId meter = any_meter();
        const DownMessage message = any_down();
        const auto decoded = decode_down(meter, encode(meter, message));
        RC_ASSERT(decoded.has_value());
        RC_ASSERT((*decoded == message));
    }));
}

BOOST_AUTO_TEST_CASE(B2_a_message_is_refused_in_the_other_direction_and_by_another_meter)
{
    BOOST_TEST(rc::check("reflected, or under another meter's topic", [] {
        const MeterId meter = any_meter();
        const MeterId other = any_meter();
        const Plaintext up = encode(meter, any_up());
        const Plaintext down = encode(meter, any_down());
        RC_ASSERT(decode_down(meter, up).error() == CodecError::wrong_direction);
        RC_ASSERT(decode_up(meter, down).error() == CodecError::wrong_direction);
        RC_PRE(other != meter);
        RC_ASSERT(decode_up(other, up).error() == CodecError::wrong_meter);
        RC_ASSERT(decode_down(other, down).error() == CodecError::wrong_meter);
    }));
}

BOOST_AUTO_TEST_CASE(I1_any_change_of_one_byte_of_header_or_padding_is_refused)
{
    // The kind byte is left out: a body may by chance be one of another kind too. The next case has it.
    const auto refused_when_changed = [](const Plaintext& bytes, const auto& accepts) {
        Plaintext changed = bytes;
        const auto end = end_of_body(bytes);
        const auto structural =
            *rc::gen::suchThat(between<std::size_t>(0, plaintext_size - 1), [end](std::size_t place) {
                return place != 1 && (place < 36 || place >= end);
            });
        changed[structural] ^= *between<std::uint8_t>(1, 255);
        RC_ASSERT(accepts(bytes));
        RC_ASSERT(!accepts(changed));
    };
    BOOST_TEST(rc::check("up", [&] {
        const MeterId meter = any_meter();
        refused_when_changed(encode(meter, any_up()),
                             [&](const Plaintext& bytes) { return decode_up(meter, bytes).has_value(); });
    }));
    BOOST_TEST(rc::check("down", [&] {
        const MeterId meter = any_meter();
        refused_when_changed(encode(meter, any_down()),
                             [&](const Plaintext& bytes) { return decode_down(meter, bytes).has_value(); });
    }));
}

BOOST_AUTO_TEST_CASE(I1_a_kind_that_does_not_travel_this_way_is_refused)
{
    BOOST_TEST(rc::check("kind", [] {
        const MeterId meter = any_meter();
        Plaintext up = encode(meter, any_up());
        Plaintext down = encode(meter, any_down());
        up[1] = *kind_outside({1, 3});
        down[1] = *kind_outside({2, 4, 5});
        RC_ASSERT(decode_up(meter, up).error() == CodecError::wrong_kind);
        RC_ASSERT(decode_down(meter, down).error() == CodecError::wrong_kind);
    }));
}

BOOST_AUTO_TEST_CASE(I1_any_other_size_is_refused)
{
    BOOST_TEST(rc::check("size", [] {
        const MeterId meter = any_meter();
        const Plaintext whole = encode(meter, any_up());
        std::vector<std::uint8_t> bytes(whole.begin(), whole.end());
        bytes.resize(*rc::gen::distinctFrom(between<std::size_t>(0, 300), std::size_t{plaintext_size}));
        RC_ASSERT(decode_up(meter, bytes).error() == CodecError::wrong_size);
        RC_ASSERT(decode_down(meter, bytes).error() == CodecError::wrong_size);
    }));
}

BOOST_AUTO_TEST_CASE(I1_random_bytes_are_refused_or_are_exactly_one_message)
{
    const auto check = [](const MeterId& meter, const auto& decoded, const Plaintext& bytes) {
        RC_CLASSIFY(decoded.has_value(), "accepted");
        if (decoded)
            RC_ASSERT((encode(meter, *decoded) == bytes));
    };
    BOOST_TEST(rc::check("a message with up to four bytes of its body changed", [&check] {
        const MeterId meter = any_meter();
        const auto up = *rc::gen::arbitrary<bool>();
        Plaintext bytes = up ? encode(meter, any_up()) : encode(meter, any_down());
        const auto changes = *between<int>(1, 4);
        for (int change = 0; change < changes; ++change) {
            const auto place = *between<std::size_t>(36, plaintext_size - 1);
            bytes[place] = *rc::gen::arbitrary<std::uint8_t>();
        }
        if (up)
            check(meter, decode_up(meter, bytes), bytes);
        else
            check(meter, decode_down(meter, bytes), bytes);
    }));
    BOOST_TEST(rc::check("a right header before a random body", [&check] {
        const MeterId meter = any_meter();
        Plaintext bytes = *rc::gen::container<Plaintext>(rc::gen::arbitrary<std::uint8_t>());
        std::fill(bytes.begin() + *between<int>(36, plaintext_size), bytes.end(), std::uint8_t{0});
        const Plaintext up = encode(meter, any_up());
        const Plaintext down = encode(meter, any_down());
        std::copy_n(up.begin(), 36, bytes.begin());
        check(meter, decode_up(meter, bytes), bytes);
        std::copy_n(down.begin(), 36, bytes.begin());
        check(meter, decode_down(meter, bytes), bytes);
    }));
    BOOST_TEST(rc::check("random everything", [] {
        const MeterId meter = any_meter();
        const auto bytes = *rc::gen::container<Plaintext>(rc::gen::arbitrary<std::uint8_t>());
        RC_ASSERT(!decode_up(meter, bytes).has_value());
        RC_ASSERT(!decode_down(meter, bytes).has_value());
    }));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
