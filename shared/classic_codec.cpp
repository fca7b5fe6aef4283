#include "shared/classic_codec.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <charconv>

namespace pulsemeter {

std::string_view text(ClassicError error)
{
    switch (error) {
    case ClassicError::not_a_number:
        return "not a plain decimal number";
    case ClassicError::leading_zero:
        return "a number with leading zeros";
    case ClassicError::too_large:
        return "a number above 2^63-1";
    }
    return "unknown";
}

std::string encode_total(Pulses total)
{
    ENSURE(total.value <= largest_integer, "a total above 2^63-1");
    return std::to_string(total.value);
}

tl::expected<Pulses, ClassicError> decode_total(std::span<const std::uint8_t> plaintext)
{
    const auto is_digit = [](std::uint8_t byte) { return byte >= '0' && byte <= '9'; };
    if (plaintext.empty() || !std::all_of(plaintext.begin(), plaintext.end(), is_digit))
        return tl::unexpected(ClassicError::not_a_number);
    if (plaintext.front() == '0' && plaintext.size() > 1)
        return tl::unexpected(ClassicError::leading_zero);
    const std::string digits(plaintext.begin(), plaintext.end());
    Pulses total;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), total.value);
    if (error != std::errc{} || total.value > largest_integer)
        return tl::unexpected(ClassicError::too_large);
    return total;
}

std::string_view text(TopicError error)
{
    switch (error) {
    case TopicError::empty:
        return "a topic has at least one character";
    case TopicError::too_long:
        return "a topic here has at most 128 characters";
    case TopicError::bad_character:
        return "a topic here is printable ASCII without wildcards (+ #), spaces, quotes and backslashes";
    case TopicError::reserved:
        return "topics that begin with $ are the broker's, those with pulsemeter/ the sealed wire's";
    }
    return "unknown";
}

tl::expected<void, TopicError> check_topic(std::string_view topic)
{
    if (topic.empty())
        return tl::unexpected(TopicError::empty);
    if (topic.size() > longest_classic_topic)
        return tl::unexpected(TopicError::too_long);
    const auto is_allowed = [](char c) {
        return c > ' ' && c <= '~' && c != '+' && c != '#' && c != '"' && c != '\\';
    };
    if (!std::all_of(topic.begin(), topic.end(), is_allowed))
        return tl::unexpected(TopicError::bad_character);
    if (topic.front() == '$' || topic.starts_with("pulsemeter/"))
        return tl::unexpected(TopicError::reserved);
    return {};
}

} // namespace pulsemeter
