// Makes edges for tests: a line that is switched at given times and numbers its edges as the kernel does, and
// a kernel buffer of 1024 edges that drops the oldest.
#pragma once

#include "meter-pi/pulse_counter.hpp"

#include <cstdint>
#include <deque>
#include <random>
#include <span>
#include <utility>
#include <vector>

namespace pulsemeter::test {

class Line {
public:
    explicit Line(std::uint32_t first_seqno = 1) : seqno_(first_seqno) {}

    void wait(std::chrono::nanoseconds duration) { now_ += duration; }
    void go(Level level) { edges_.push_back({now_, level, seqno_++}); }
    void run(std::chrono::nanoseconds active, std::chrono::nanoseconds inactive)
    {
        go(Level::active);
        wait(active);
        go(Level::inactive);
        wait(inactive);
    }

    [[nodiscard]] std::chrono::nanoseconds now() const { return now_; }
    [[nodiscard]] const std::vector<Edge>& edges() const { return edges_; }
    [[nodiscard]] std::vector<Edge> take() { return std::exchange(edges_, {}); }

private:
    std::chrono::nanoseconds now_{1};
    std::uint32_t seqno_;
    std::vector<Edge> edges_;
};

// S0 contact: the level settles within `bounce_time` of each transition.
inline void bounce(Line& line, Level to, std::chrono::nanoseconds bounce_time, std::mt19937_64& random)
{
    const auto end = line.now() + bounce_time;
    const Level from = to == Level::active ? Level::inactive : Level::active;
    line.go(to);
    for (auto toggles = random() % 4; toggles > 0; --toggles) {
        const auto room = (end - line.now()).count() / 2;
        line.wait(std::chrono::nanoseconds(
            1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(room))));
        line.go(from);
        const auto rest = (end - line.now()).count() / 2;
        line.wait(std::chrono::nanoseconds(
            1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rest))));
        line.go(to);
    }
}

inline const PulseFilter s0_filter = default_filter(MeterConstant{1000}, 43);
inline const PulseFilter fast_filter = default_filter(MeterConstant{10'000}, 43);

inline PulseCounter raw_counter(const PulseFilter& filter = s0_filter, Level level = Level::inactive)
{
    return {Detection::both_edges, level, filter};
}

// One pulse of a bouncing contact: 30 ms on, 30 ms off or longer, each transition settles within 5 ms.
inline void bouncing_pulse(Line& line, std::mt19937_64& random)
{
    const auto start = line.now();
    bounce(line, Level::active, std::chrono::microseconds(4990), random);
    line.wait(start + std::chrono::milliseconds(30) - line.now());
    const auto end = line.now();
    bounce(line, Level::inactive, std::chrono::microseconds(4990), random);
    line.wait(end + std::chrono::milliseconds(30) + std::chrono::microseconds(random() % 200'000) -
              line.now());
}

class KernelBuffer {
public:
    static constexpr std::size_t size = 1024;
    void push(std::span<const Edge> edges)
    {
        for (const Edge& edge : edges) {
            if (buffer_.size() == size)
                buffer_.pop_front();
            buffer_.push_back(edge);
        }
    }
    [[nodiscard]] std::vector<Edge> read()
    {
        std::vector<Edge> all(buffer_.begin(), buffer_.end());
        buffer_.clear();
        return all;
    }

private:
    std::deque<Edge> buffer_;
};

} // namespace pulsemeter::test
