#include "shared/crypto/base64url.hpp"

#include <array>

namespace pulsemeter::crypto {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t no_digit = 0xff;

constexpr std::array<std::uint8_t, 256> digits = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(no_digit);
    std::uint8_t value = 0;
    for (const char c : alphabet)
        table[static_cast<std::uint8_t>(c)] = value++;
    return table;
}();

std::uint8_t digit(char c)
{
    return digits[static_cast<std::uint8_t>(c)];
}

char letter(std::uint32_t group, unsigned shift)
{
    return alphabet[(group >> shift) & 0x3f];
}

std::uint8_t byte(std::uint32_t group, unsigned shift)
{
    return static_cast<std::uint8_t>((group >> shift) & 0xff);
}

} // namespace

std::string encode_base64url(std::span<const std::uint8_t> bytes)
{
    std::string text((bytes.size() + 2) / 3 * 4, '=');
    char* out = text.data();
    for (; bytes.size() >= 3; bytes = bytes.subspan(3)) {
        const std::uint32_t group =
            (std::uint32_t{bytes[0]} << 16) | (std::uint32_t{bytes[1]} << 8) | bytes[2];
        *out++ = letter(group, 18);
        *out++ = letter(group, 12);
        *out++ = letter(group, 6);
        *out++ = letter(group, 0);
    }
    if (!bytes.empty()) {
        const std::uint32_t second = bytes.size() == 2 ? bytes[1] : 0U;
        const std::uint32_t group = (std::uint32_t{bytes[0]} << 16) | (second << 8);
        *out++ = letter(group, 18);
        *out++ = letter(group, 12);
        if (bytes.size() == 2)
            *out = letter(group, 6);
    }
    return text;
}

std::optional<std::size_t> decode_base64url(std::string_view text, std::span<std::uint8_t> bytes)
{
    if (text.size() % 4 != 0)
        return std::nullopt;
    if (text.empty())
        return 0;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    const std::size_t size = text.size() / 4 * 3 - padding;
    if (size > bytes.size())
        return std::nullopt;

    const std::size_t whole = padding == 0 ? text.size() : text.size() - 4;
    std::uint8_t* out = bytes.data();
    std::uint32_t wrong = 0; // a digit has 6 bits: the upper two are seen once at the end
    for (std::size_t i = 0; i < whole; i += 4) {
        const std::uint32_t a = digit(text[i]);
        const std::uint32_t b = digit(text[i + 1]);
        const std::uint32_t c = digit(text[i + 2]);
        const std::uint32_t d = digit(text[i + 3]);
        wrong |= a | b | c | d;
        const std::uint32_t group = (a << 18) | (b << 12) | (c << 6) | d;
        *out++ = byte(group, 16);
        *out++ = byte(group, 8);
        *out++ = byte(group, 0);
    }
    if (padding != 0) {
        const std::uint32_t a = digit(text[whole]);
        const std::uint32_t b = digit(text[whole + 1]);
        const std::uint32_t c = padding == 1 ? digit(text[whole + 2]) : 0U;
        wrong |= a | b | c;
        const std::uint32_t group = (a << 18) | (b << 12) | (c << 6);
        const std::uint32_t unused_bits = padding == 1 ? 0xffU : 0xffffU;
        if ((group & unused_bits) != 0)
            return std::nullopt;
        *out++ = byte(group, 16);
        if (padding == 1)
            *out = byte(group, 8);
    }
    if (wrong > 0x3f)
        return std::nullopt;
    return size;
}

} // namespace pulsemeter::crypto
