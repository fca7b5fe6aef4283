// Canonical base64url (RFC 4648, section 5, with padding) and nothing else: each byte string has exactly one
// text. Our own code, because a token must have one spelling only and OpenSSL's EVP_DecodeBlock skips white
// space, ignores the unused trailing bits and knows only the other alphabet. Pure; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pulsemeter::crypto {

[[nodiscard]] std::string encode_base64url(std::span<const std::uint8_t> bytes);

// Decodes to the front of `bytes` and returns how many they are. Nothing if the text is not canonical or does
// not fit; `bytes` may then hold a part of it. Missing '=', non-zero trailing bits, white space, anything
// after the padding and the other alphabet ('+', '/') are refused.
[[nodiscard]] std::optional<std::size_t> decode_base64url(std::string_view text,
                                                          std::span<std::uint8_t> bytes);

// Room that decoding `characters` never exceeds.
[[nodiscard]] constexpr std::size_t base64url_room(std::size_t characters)
{
    return characters / 4 * 3;
}

} // namespace pulsemeter::crypto
