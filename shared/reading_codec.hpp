// The strict plaintext codec of the sealed wire, version 1 (shared/PROTOCOL.md, "Plaintext").
// Every message is exactly plaintext_size bytes, big-endian, unused bytes zero; what is not exactly so is
// refused. Pure: no allocation on the way in, no clock, no cipher. Thread-safe.
#pragma once

#include "shared/reading.hpp"

#include <tl/expected.hpp>

#include <array>
#include <cstdint>
#include <span>

namespace pulsemeter {

inline constexpr std::uint8_t wire_version = 1;
inline constexpr std::size_t plaintext_size =
    127; // a full AES block less one byte of padding: 248 characters sealed
using Plaintext = std::array<std::uint8_t, plaintext_size>;

// The checks are made in this order, and the first that fails names the error.
enum class CodecError : std::uint8_t {
    wrong_size,
    wrong_version,
    wrong_direction, // a message of the other direction (reflection)
    wrong_kind,      // unknown, or a kind that does not travel in this direction
    wrong_meter,     // another meter's id, or an ill-formed one
    out_of_range,  // a field outside the range that reading.hpp states, or fields that contradict each other
    not_canonical, // an unused byte that is not zero
};
[[nodiscard]] std::string_view text(CodecError error);

// Aborts (ENSURE) on a message that decode would refuse: a value out of range here is our own bug.
[[nodiscard]] Plaintext encode(const MeterId& meter, const UpMessage& message);
[[nodiscard]] Plaintext encode(const MeterId& meter, const DownMessage& message);

// `meter` is the one that the topic belongs to: an id inside that differs is refused.
[[nodiscard]] tl::expected<UpMessage, CodecError> decode_up(const MeterId& meter,
                                                            std::span<const std::uint8_t> bytes);
[[nodiscard]] tl::expected<DownMessage, CodecError> decode_down(const MeterId& meter,
                                                                std::span<const std::uint8_t> bytes);

} // namespace pulsemeter
