#include "shared/backoff.hpp"

#include <algorithm>

namespace pulsemeter {

Backoff::Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most, std::uint64_t seed)
    : first_(first), most_(most), step_(first), random_(seed)
{
}

std::chrono::milliseconds Backoff::next()
{
    // splitmix64: any seed will do, and its whole state is one number
    random_ += 0x9e3779b97f4a7c15U;
    std::uint64_t mixed = random_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    mixed ^= mixed >> 31U;

    const auto half = step_ / 2;
    const auto wait = half + std::chrono::milliseconds(mixed % static_cast<std::uint64_t>(half.count() + 1));
    step_ = std::min(step_ * 2, most_);
    return wait;
}

void Backoff::reset()
{
    step_ = first_;
}

} // namespace pulsemeter
