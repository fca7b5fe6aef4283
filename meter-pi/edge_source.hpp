// Port: where edges come from: a GPIO line, a simulated household, a recorded trace.
// One thread, the edge reader, calls read(); it is never delayed by a disk, a network or a cipher.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
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
    // Blocks until there are edges, or for `timeout`: then empty. Oldest first. Throws SensorMissing.
    [[nodiscard]] virtual std::vector<Edge> read(std::chrono::milliseconds timeout) = 0;
    // The clock of Edge::time.
    [[nodiscard]] virtual std::chrono::nanoseconds now() const = 0;
};

} // namespace pulsemeter
