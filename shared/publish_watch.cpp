#include "shared/publish_watch.hpp"

#include <algorithm>

namespace pulsemeter {

PublishWatch::Place& PublishWatch::begin(SteadyTime now)
{
    ++outstanding_;
    while (began_[next_] != free)
        next_ = (next_ + 1) % began_.size();
    began_[next_] = now.time_since_epoch().count();
    return began_[next_];
}

void PublishWatch::refused(Place& place, SteadyTime now)
{
    place = free;
    --outstanding_;
    refused_since_ = std::min(refused_since_, now);
}

int PublishWatch::end(Place& place, SteadyTime now)
{
    place = free;
    last_ended_ = now.time_since_epoch().count();
    return --outstanding_;
}

PublishWatch::SteadyTime PublishWatch::stuck_from() const
{
    auto oldest = SteadyTime::max().time_since_epoch().count();
    for (const Place& each : began_) {
        if (const auto began = each.load(); began != free)
            oldest = std::min(oldest, began);
    }
    const auto none_taken =
        refused_since_ == SteadyTime::max() ? SteadyTime::max() : refused_since_ + acknowledged_within;
    if (oldest == SteadyTime::max().time_since_epoch().count())
        return none_taken;
    const auto at = [](SteadyTime::rep time) { return SteadyTime(SteadyTime::duration(time)); };
    return std::min({none_taken, at(oldest) + lost_after,
                     at(std::max(oldest, last_ended_.load())) + acknowledged_within});
}

} // namespace pulsemeter
