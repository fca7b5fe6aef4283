#include "meter-pi/simulated_edge_source.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

using namespace std::chrono_literals;

SimulatedEdgeSource::SimulatedEdgeSource(std::unique_ptr<Load> load, SimulationClock clock)
    : load_(std::move(load)),
      clock_(std::move(clock)),
      start_(clock_.now()),
      pulse_(load_->next_pulse()),
      next_pulse_(load_->next_pulse()),
      next_{.time = start_ + pulse_, .level = Level::active, .seqno = 1},
      due_(next_.time)
{
}

void SimulatedEdgeSource::wait(std::chrono::milliseconds timeout, const std::stop_token& stop)
{
    clock_.sleep_until(due_, timeout, stop);
}

std::vector<Edge> SimulatedEdgeSource::read()
{
    std::vector<Edge> edges;
    const auto now = clock_.now();
    while (next_.time <= now && edges.size() < largest_batch) {
        edges.push_back(next_);
        advance();
    }
    due_ = next_.time;
    return edges;
}

void SimulatedEdgeSource::advance()
{
    ++next_.seqno;
    if (next_.level == Level::active) {
        next_.level = Level::inactive;
        next_.time += std::min<std::chrono::nanoseconds>(20ms, (next_pulse_ - pulse_) / 2);
    } else {
        pulse_ = std::exchange(next_pulse_, load_->next_pulse());
        next_.level = Level::active;
        next_.time = start_ + pulse_;
    }
}

} // namespace pulsemeter
