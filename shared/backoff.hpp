// Pure: how long to wait before the next attempt. Doubles from `first` to `most`; the wait itself is drawn from
// its upper half, so that a thousand meters do not come back at once.
#pragma once

#include <chrono>
#include <cstdint>

namespace pulsemeter {

class Backoff {
public:
    Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most, std::uint64_t seed);
    [[nodiscard]] std::chrono::milliseconds next(); // between half of the current step and all of it
    void reset();

private:
    std::chrono::milliseconds first_;
    std::chrono::milliseconds most_;
    std::chrono::milliseconds step_;
    std::uint64_t random_;
};

} // namespace pulsemeter
