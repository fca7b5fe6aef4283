#include "server/time_text.hpp"

#include <fmt/core.h>

#include <ctime>

namespace pulsemeter {
std::string utc_text(WallTime time)
{
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       clock.hours().count(), clock.minutes().count(), clock.seconds().count(),
                       clock.subseconds().count());
}

std::string local_text(WallTime time)
{
    const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    std::tm broken{};
    localtime_r(&seconds, &broken);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", broken.tm_year + 1900, broken.tm_mon + 1,
                       broken.tm_mday, broken.tm_hour, broken.tm_min, broken.tm_sec);
}

std::optional<WallTime> parse_time(const std::string& text)
{
    std::tm given{};
    given.tm_isdst = -1;
    const char* rest = strptime(text.c_str(), "%Y-%m-%d", &given);
    if (rest == nullptr)
        return std::nullopt;
    std::chrono::milliseconds fraction{0};
    bool local = true;
    if (*rest == 'T' || *rest == ' ') {
        const char* time = rest + 1;
        rest = strptime(time, "%H:%M:%S", &given);
        if (rest == nullptr)
            rest = strptime(time, "%H:%M", &given);
        if (rest == nullptr)
            return std::nullopt;
        if (*rest == '.') {
            int scale = 100;
            for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10)
                fraction += std::chrono::milliseconds((*rest - '0') * scale);
        }
        if (*rest != '\0') {
            local = false;
            rest = strptime(rest, "%z", &given);
        }
    }
    if (rest == nullptr || *rest != '\0')
        return std::nullopt;

    const auto offset = std::chrono::seconds(local ? 0 : given.tm_gmtoff);
    std::tm normal = given;
    const std::time_t seconds = local ? std::mktime(&normal) : timegm(&normal);
    const bool exists = normal.tm_mday == given.tm_mday; // February 30th would be March 2nd
    const WallTime result = WallTime(std::chrono::seconds(seconds)) - offset + fraction;
    return exists && result >= WallTime{} ? std::optional(result) : std::nullopt;
}

} // namespace pulsemeter
