#include "meter-pi/host.hpp"

#include <sys/timex.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string>

namespace pulsemeter::host {

BootId boot_id()
{
    static constexpr const char* path = "/proc/sys/kernel/random/boot_id";
    std::ifstream file(path);
    std::string uuid;
    std::getline(file, uuid);
    uuid.erase(std::remove(uuid.begin(), uuid.end(), '-'), uuid.end());
    BootId id{};
    const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
    if (uuid.size() != 2 * id.size() || !std::all_of(uuid.begin(), uuid.end(), is_hex))
        throw std::runtime_error(std::string(path) + ": no boot id there; is /proc mounted?");
    for (std::size_t i = 0; i < id.size(); ++i)
        id[i] = static_cast<std::uint8_t>(std::stoul(uuid.substr(2 * i, 2), nullptr, 16));
    return id;
}

Uptime uptime()
{
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::duration_cast<Uptime>(std::chrono::seconds(now.tv_sec) +
                                              std::chrono::nanoseconds(now.tv_nsec));
}

WallTime wall_time()
{
    // A clock beyond these years has no place on the wire; it is never a synchronised one.
    using namespace std::chrono;
    constexpr WallTime last = sys_days{year{9999} / December / 31};
    return std::clamp(floor<milliseconds>(system_clock::now()), WallTime{}, last);
}

Clock clock()
{
    timex state{};
    const int verdict = adjtimex(&state);
    const bool good = verdict != -1 && verdict != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
    return good ? Clock::synchronised : Clock::unsynchronised;
}

ReadingFacts facts()
{
    ReadingFacts now;
    now.measured_at = wall_time();
    now.clock = clock();
    now.boot = boot_id();
    now.uptime = uptime();
    return now;
}

} // namespace pulsemeter::host
