#include "shared/reading.hpp"

#include <algorithm>

namespace pulsemeter {

std::optional<MeterId> MeterId::parse(std::string_view text)
{
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    if (text.empty() || text.size() > longest || !std::all_of(text.begin(), text.end(), allowed))
        return std::nullopt;
    return MeterId(text);
}

std::string_view text(Source source)
{
    switch (source) {
    case Source::measured:
        return "measured";
    case Source::simulated:
        return "simulated";
    case Source::unstated:
        return "unstated";
    }
    return "unknown";
}

std::string_view text(RefusalReason reason)
{
    switch (reason) {
    case RefusalReason::total_fell:
        return "total fell";
    case RefusalReason::total_jumped:
        return "total above a later reading";
    case RefusalReason::implausible_rate:
        return "faster than the largest load allows";
    case RefusalReason::constant_changed:
        return "imp/kWh, start value or source changed within the epoch";
    case RefusalReason::conflict:
        return "number already taken by another reading";
    }
    return "unknown";
}

} // namespace pulsemeter
