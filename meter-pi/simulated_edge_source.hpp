// Makes the edges of a load model's pulses, clean and numbered without gaps, on a clock that runs `speed`
// times as fast as the real one from its construction on. Pulses are 20 ms wide, or half their spacing if
// that is less. A reader that comes late gets everything that was due; nothing is dropped.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/household.hpp"
#include "meter-pi/simulation_clock.hpp"

#include <atomic>
#include <memory>
#include <optional>

namespace pulsemeter {

class SimulatedEdgeSource : public EdgeSource {
public:
    SimulatedEdgeSource(std::unique_ptr<Load> load, SimulationClock clock);

    [[nodiscard]] Detection detection() const override { return Detection::both_edges; }
    [[nodiscard]] Level level_at_start() const override { return Level::inactive; }
    void wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    [[nodiscard]] std::vector<Edge> read() override;
    [[nodiscard]] std::chrono::nanoseconds now() const override { return clock_.now(); }

private:
    void advance();

    std::unique_ptr<Load> load_;
    SimulationClock clock_;
    std::chrono::nanoseconds start_;
    std::chrono::nanoseconds pulse_;      // start of the pulse that next_ belongs to
    std::chrono::nanoseconds next_pulse_; // start of the one after
    Edge next_;
    std::atomic<std::chrono::nanoseconds> due_; // next_'s, for who waits while another reads
};

} // namespace pulsemeter
