#include "meter-pi/silence_watch.hpp"

#include <fmt/core.h>

namespace pulsemeter {

std::string silence_text(const std::string& topic)
{
    return fmt::format(
        "nobody has answered for {} minutes: is meter-server running at this broker, and has it this "
        "meter's key? does the broker let this meter publish to {} (by MQTT 3.1.1 it does not say)? see "
        "meter-pi doctor",
        SilenceWatch::worth_telling.count(), topic);
}

bool SilenceWatch::is_to_be_told(SteadyTime now)
{
    if (!unanswered_since_ || now - *unanswered_since_ < worth_telling ||
        (told_ && now - *told_ < told_every))
        return false;
    told_ = now;
    return true;
}

} // namespace pulsemeter
