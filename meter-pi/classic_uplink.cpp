#include "meter-pi/classic_uplink.hpp"

#include <algorithm>

namespace pulsemeter {

ClassicUplink::ClassicUplink(std::chrono::milliseconds pause, std::uint64_t seed)
    : pause_(pause), resend_(first_resend, slowest_resend, seed)
{
}

void ClassicUplink::connected(SteadyTime now)
{
    connected_ = true;
    resend_.reset();
    // A broker that was away may have forgotten the reading that it kept.
    due_ = phase_ == Phase::listening ? now + listening : now;
}

void ClassicUplink::disconnected()
{
    connected_ = false;
}

void ClassicUplink::retained(Pulses total)
{
    if (phase_ == Phase::listening) // later it is our own, or someone else's
        heard_ = std::max(heard_, total);
}

void ClassicUplink::put_right(Pulses total)
{
    heard_ = std::max(heard_, total);
}

ClassicUplink::Answer ClassicUplink::answered(Pulses total, SteadyTime now)
{
    if (phase_ == Phase::listening) {
        heard_ = std::max(heard_, total);
        return Answer::noted;
    }
    if (total > newest_) {
        if (confirmed_once_)
            return Answer::beyond;
        heard_ = std::max(heard_, total);
        due_ = now;
        return Answer::raised;
    }
    if (total < newest_ || phase_ == Phase::pausing)
        return Answer::stale;
    confirmed_once_ = true;
    phase_ = Phase::pausing;
    due_ = now + pause_;
    return Answer::confirmed;
}

void ClassicUplink::sent(Pulses total, SteadyTime now)
{
    if (phase_ != Phase::awaiting)
        resend_.reset();
    phase_ = Phase::awaiting;
    newest_ = total;
    due_ = now + resend_.next();
}

void ClassicUplink::postpone(SteadyTime now)
{
    due_ = now + disk_retry;
}

} // namespace pulsemeter
