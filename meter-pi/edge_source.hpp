// Port: where edges come from: a GPIO line, a simulated household, a recorded trace.
// One thread waits for edges, never delayed by a disk, a network or a cipher; any other may read() them meanwhile, one
// at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <vector>

namespace pulsemeter {

enum class Level : std::uint8_t { inactive, active }; // after the configured polarity

// A raw transition to `level`. `time` is on the source's own monotonic clock. `seqno` numbers the line's edges from
// 1 and wraps at 2^32; a jump tells how many the kernel dropped.
struct Edge {
    std::chrono::nanoseconds time{};
    Level level = Level::inactive;
    std::uint32_t seqno = 0;
};

enum class Detection : std::uint8_t {
    both_edges,  // raw: our own filter decides what is a pulse
    rising_only, // every edge is a pulse: no filter, or the kernel's
};

// The line is gone (chip removed, module unloaded). The reader backs off and opens a new source.
struct SensorMissing : std::runtime_error {
    using std::runtime_error::runtime_error;
};

class EdgeSource {
public:
    virtual ~EdgeSource() = default;
    [[nodiscard]] virtual Detection detection() const = 0;
    // Read once when the line was taken, after its bias has settled.
    [[nodiscard]] virtual Level level_at_start() const = 0;
    // Blocks until there may be edges, for `timeout` at most, or until `stop` is requested.
    virtual void wait(std::chrono::milliseconds timeout, const std::stop_token& stop) = 0;
    // The edges that are there by now, oldest first, largest_batch at most. Does not block. Throws SensorMissing.
    [[nodiscard]] virtual std::vector<Edge> read() = 0;
    // The clock of Edge::time.
    [[nodiscard]] virtual std::chrono::nanoseconds now() const = 0;

    static constexpr std::size_t largest_batch = 1024; // the kernel keeps no more
    // Both, for whoever has but one thread.
    [[nodiscard]] std::vector<Edge> await(std::chrono::milliseconds timeout)
    {
        wait(timeout, {});
        return read();
    }
};

} // namespace pulsemeter
