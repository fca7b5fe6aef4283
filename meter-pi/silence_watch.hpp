// Pure: notices that nobody answers what this meter sends. A broker may keep messages back, a server may be down or have
// another key, and by MQTT 3.1.1 a broker does not even say that it forbids a topic: then this is all that shows.
#pragma once

#include "meter-pi/uplink.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace pulsemeter {

// For people.
[[nodiscard]] std::string silence_text(const std::string& topic);

class SilenceWatch {
public:
    static constexpr std::chrono::minutes worth_telling{2}; // the slowest resend comes twice
    static constexpr std::chrono::hours told_every{1};

    // Something was sent that wants an answer.
    void sent(SteadyTime now)
    {
        if (!unanswered_since_)
            unanswered_since_ = now;
    }
    // An answer that only the server can have made; or there is no connection, which is told as such.
    void ended()
    {
        unanswered_since_.reset();
        told_.reset();
    }
    // Once it has lasted, and then once an hour.
    [[nodiscard]] bool is_to_be_told(SteadyTime now);

private:
    std::optional<SteadyTime> unanswered_since_;
    std::optional<SteadyTime> told_;
};

} // namespace pulsemeter
