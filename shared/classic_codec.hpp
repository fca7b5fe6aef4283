// The classic wire's words (PROTOCOL.md, "The classic wire"): the plain decimal total, as Python's str() writes an
// integer, and the two topics that a pair of programs agrees on. Strict: a total has one spelling. Pure, no cipher;
// thread-safe.
#pragma once

#include "shared/reading.hpp"

#include <tl/expected.hpp>

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pulsemeter {

enum class ClassicError : std::uint8_t {
    not_a_number, // anything but 1 or more of 0-9: a sign, a space, 0x10, 1e9, another alphabet, nothing at all
    leading_zero, // "007": no Python int is written so
    too_large,    // above 2^63−1
};
[[nodiscard]] std::string_view text(ClassicError error);

[[nodiscard]] std::string encode_total(Pulses total); // aborts (ENSURE) above 2^63−1
[[nodiscard]] tl::expected<Pulses, ClassicError> decode_total(std::span<const std::uint8_t> plaintext);

struct ClassicTopics {
    std::string up = "UNITS1221";   // QoS 1, retained
    std::string down = "UNITS1222"; // QoS 1, not retained
    auto operator<=>(const ClassicTopics&) const = default;
};

enum class TopicError : std::uint8_t {
    empty,
    too_long,      // more than longest_classic_topic
    bad_character, // a wildcard (+ #), a space, a quote, a backslash, or outside printable ASCII
    reserved,      // begins with $, or with pulsemeter/ (the sealed wire)
};
[[nodiscard]] std::string_view text(TopicError error);
inline constexpr std::size_t longest_classic_topic = 128;
[[nodiscard]] tl::expected<void, TopicError> check_topic(std::string_view topic);

// A unit of the classic wire is one flash and is priced as 1 Wh, so no other constant makes sense on it.
inline constexpr MeterConstant classic_constant{1000};

} // namespace pulsemeter
