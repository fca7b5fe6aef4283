#include "shared/harmless.hpp"

#include <fmt/core.h>

namespace pulsemeter {

std::size_t harmless_length(std::string_view text)
{
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
        return 0;
    for (std::size_t at = 1; at < length; ++at) {
        if ((byte(at) & 0xc0U) != 0x80U)
            return 0;
    }
    const unsigned char second = byte(1);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    const bool surrogate = lead == 0xed && second >= 0xa0;
    const bool too_large = lead == 0xf4 && second >= 0x90;
    const bool control = lead == 0xc2 && second < 0xa0;
    return overlong || surrogate || too_large || control ? 0 : length;
}

std::string escaped(std::string_view line)
{
    std::string text;
    text.reserve(line.size());
    while (!line.empty()) {
        const std::size_t length = harmless_length(line);
        if (length > 0) {
            text.append(line.substr(0, length));
        } else if (line.front() == '\n') {
            text += "\\n";
        } else if (line.front() == '\t') {
            text += "\\t";
        } else {
            text += fmt::format("\\x{:02x}", static_cast<unsigned char>(line.front()));
        }
        line.remove_prefix(length > 0 ? length : 1);
    }
    return text;
}

} // namespace pulsemeter
