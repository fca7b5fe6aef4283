#include "shared/ascii_toml.hpp"

#include "shared/errors.hpp"
#include "shared/harmless.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace pulsemeter {
namespace {

bool is_ascii(char byte)
{
    return static_cast<unsigned char>(byte) < 0x80;
}

// A string as it stands in the text. One that is not closed ends with its line, or with the text.
struct Quoted {
    std::string_view opening;
    std::string_view content;
    std::string_view closing;
};

Quoted quoted_at_front(std::string_view text)
{
    const char quote = text.front();
    const std::size_t width = text.starts_with(std::string(3, quote)) ? 3 : 1;
    const std::string_view opening = text.substr(0, width);
    std::size_t at = width;
    for (; at < text.size() && (width == 3 || text[at] != '\n'); ++at) {
        if (text[at] == '\\' && quote == '"') {
            ++at;
        } else if (text.substr(at, width) == opening) {
            // Before the three that close it, one or two more may stand.
            for (int more = 0; width == 3 && more < 2 && text.substr(at + 3).starts_with(quote); ++more)
                ++at;
            return {opening, text.substr(width, at - width), text.substr(at, width)};
        }
    }
    return {opening, text.substr(width, std::min(at, text.size()) - width), {}};
}

class AsciiToml {
public:
    AsciiToml(std::string_view text, const std::string& file) : text_(text), file_(file) {}

    std::string rewritten()
    {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (text_.starts_with(byte_order_mark))
            at_ = byte_order_mark.size();
        while (at_ < text_.size()) {
            const char next = text_[at_];
            if (next == '#') {
                rewrite_comment();
            } else if (next == '"' || next == '\'') {
                rewrite_quoted(quoted_at_front(text_.substr(at_)));
            } else if (is_ascii(next)) {
                copy(1);
            } else {
                refuse("a character beyond ASCII stands outside of quotes");
            }
        }
        return std::move(out_);
    }

private:
    void copy(std::size_t bytes)
    {
        out_ += text_.substr(at_, bytes);
        at_ += bytes;
    }

    void rewrite_comment()
    {
        while (at_ < text_.size() && text_[at_] != '\n') {
            if (is_ascii(text_[at_])) {
                copy(1);
            } else {
                (void)take_character();
                out_ += '?';
            }
        }
    }

    void rewrite_quoted(const Quoted& quoted)
    {
        if (std::all_of(quoted.content.begin(), quoted.content.end(), is_ascii))
            return copy(quoted.opening.size() + quoted.content.size() + quoted.closing.size());
        const bool is_literal = quoted.opening.front() == '\'';
        at_ += quoted.opening.size();
        out_.append(quoted.opening.size(), '"');
        for (const std::size_t end = at_ + quoted.content.size(); at_ < end;) {
            const char next = text_[at_];
            if (!is_ascii(next)) {
                out_ += fmt::format("\\U{:08x}", take_character());
            } else if (is_literal) {
                if (next == '\\' || next == '"')
                    out_ += '\\';
                copy(1);
            } else if (next == '\\' && at_ + 1 < end) {
                if (!is_ascii(text_[at_ + 1]))
                    refuse("a character beyond ASCII stands behind a backslash");
                copy(2);
            } else {
                copy(1);
            }
        }
        at_ += quoted.closing.size();
        out_.append(quoted.closing.size(), '"');
    }

    // The next one, which is not ASCII.
    std::uint32_t take_character()
    {
        const std::size_t length = harmless_length(text_.substr(at_));
        if (length == 0)
            refuse("a control character, or bytes that are no UTF-8");
        std::uint32_t value = static_cast<unsigned char>(text_[at_]) & (0x7fU >> length);
        for (std::size_t place = 1; place < length; ++place)
            value = value << 6U | (static_cast<unsigned char>(text_[at_ + place]) & 0x3fU);
        at_ += length;
        return value;
    }

    [[noreturn]] void refuse(std::string_view why) const
    {
        const auto lines = std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
        throw UsageError(fmt::format("{}:{}: no valid TOML: {}", file_, lines + 1, why));
    }

    std::string_view text_;
    const std::string& file_;
    std::size_t at_ = 0;
    std::string out_;
};

} // namespace

std::string ascii_toml(std::string_view text, const std::string& file)
{
    return AsciiToml(text, file).rewritten();
}

} // namespace pulsemeter
