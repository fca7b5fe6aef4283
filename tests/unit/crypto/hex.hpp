// Hexadecimal text, as RFC vectors and the peer program have it, to bytes and back. For tests.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter::test {

inline std::vector<std::uint8_t> from_hex(std::string_view text)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::vector<std::uint8_t> bytes;
    if (text.size() % 2 != 0)
        throw std::invalid_argument("odd number of hexadecimal digits");
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const std::size_t high = digits.find(text[i]);
        const std::size_t low = digits.find(text[i + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos)
            throw std::invalid_argument("not a hexadecimal digit");
        bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return bytes;
}

inline std::string to_hex(std::span<const std::uint8_t> bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 0xf];
    }
    return text;
}

inline std::vector<std::uint8_t> to_bytes(std::string_view text)
{
    return {text.begin(), text.end()};
}

} // namespace pulsemeter::test
