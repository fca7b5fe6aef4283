#include "meter-pi/household.hpp"

#include "shared/ensure.hpp"

#include <array>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

// SplitMix64 (Steele, Lea, Flood 2014): the standard's distributions differ between libraries.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint32_t bits()
    {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        return static_cast<std::uint32_t>((mixed ^ (mixed >> 31U)) >> 32U);
    }

    std::uint32_t below(std::uint32_t end)
    {
        return static_cast<std::uint32_t>((std::uint64_t{bits()} * end) >> 32U);
    }

    // Exponentially distributed around `mean` by von Neumann's comparisons: exact, and without a logarithm,
    // whose last bit differs between machines.
    nanoseconds exponential(nanoseconds mean)
    {
        for (std::int64_t whole = 0;; ++whole) {
            const std::uint32_t first = bits();
            std::uint32_t least = first;
            for (bool odd = true;; odd = !odd) {
                const std::uint32_t next = bits();
                if (next < least) {
                    least = next;
                    continue;
                }
                if (odd) {
                    return whole * mean + (mean / 0x10000) * (first >> 16U) +
                           (mean % 0x10000) * (first >> 16U) / 0x10000;
                }
                break;
            }
        }
    }

private:
    std::uint64_t state_;
};

class UniformLoad : public Load {
public:
    UniformLoad(nanoseconds step, std::uint64_t seed) : step_(step), random_(seed)
    {
        ENSURE(step >= 1ms, "a step has a length");
    }

    nanoseconds next_pulse() override
    {
        while (sent_ == in_step_) {
            step_start_ = next_step_;
            next_step_ += step_;
            sent_ = 0;
            in_step_ = random_.below(10);
        }
        // Each in the middle of its share, so that the shares of neighbouring steps keep their distance too.
        const auto place = step_ * (2 * sent_ + 1) / (2 * in_step_);
        ++sent_;
        return step_start_ + place;
    }

private:
    nanoseconds step_;
    Random random_;
    nanoseconds step_start_{};
    nanoseconds next_step_{};
    std::uint32_t sent_ = 0;
    std::uint32_t in_step_ = 0;
};

constexpr std::array<std::uint32_t, 24> watts_by_hour = {200,  160,  150,  150,  150,  200,  600, 1500,
                                                         1200, 700,  500,  550,  900,  700,  500, 500,
                                                         600,  1000, 2200, 3000, 2500, 1600, 800, 400};

class HouseholdLoad : public Load {
public:
    HouseholdLoad(MeterConstant constant, nanoseconds time_of_day, std::uint64_t seed)
        : constant_(constant), start_(time_of_day), random_(seed)
    {
        ENSURE(constant.imp_per_kwh > 0, "a meter makes pulses");
        ENSURE(time_of_day >= 0s && time_of_day <= 24h, "a day has 24 hours");
    }

    nanoseconds next_pulse() override
    {
        const auto hour = static_cast<std::size_t>(((start_ + now_) % 24h) / 1h);
        constexpr std::uint64_t nanosecond_watts_per_kwh = 3'600'000'000'000'000;
        const nanoseconds mean(nanosecond_watts_per_kwh /
                               (std::uint64_t{watts_by_hour.at(hour)} * constant_.imp_per_kwh));
        now_ += mean / 2 + random_.exponential(mean / 2);
        return now_;
    }

private:
    MeterConstant constant_;
    nanoseconds start_;
    Random random_;
    nanoseconds now_{};
};

} // namespace

std::unique_ptr<Load> uniform_load(nanoseconds step, std::uint64_t seed)
{
    return std::make_unique<UniformLoad>(step, seed);
}

std::unique_ptr<Load> household_load(MeterConstant constant, nanoseconds time_of_day, std::uint64_t seed)
{
    return std::make_unique<HouseholdLoad>(constant, time_of_day, seed);
}

} // namespace pulsemeter
