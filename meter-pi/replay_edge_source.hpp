// Plays a trace at `speed` times its own pace from construction on; its first edge comes at once. After the
// last one it is silent, as a meter at night. Its clock is the trace's, so that intervals are those recorded.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/simulation_clock.hpp"
#include "meter-pi/trace.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>

namespace pulsemeter {

// Throws UsageError that names the file, and the line if one is wrong.
[[nodiscard]] Trace read_trace_file(const std::filesystem::path& path);

class ReplayEdgeSource : public EdgeSource {
public:
    // speed: 1 … 1000.
    explicit ReplayEdgeSource(Trace trace, std::uint32_t speed, RealTime real = RealTime::of_this_machine());

    [[nodiscard]] Detection detection() const override { return trace_.detection; }
    [[nodiscard]] Level level_at_start() const override { return trace_.level_at_start; }
    void wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    [[nodiscard]] std::vector<Edge> read() override;
    [[nodiscard]] std::chrono::nanoseconds now() const override { return clock_.now(); }

private:
    [[nodiscard]] std::chrono::nanoseconds next_due() const;

    Trace trace_;
    SimulationClock clock_;
    std::size_t played_ = 0;
    std::atomic<std::chrono::nanoseconds> due_; // the next edge's, for who waits while another reads
};

} // namespace pulsemeter
