// A GPIO line read through libgpiod 2 and the kernel's character device. Owns the line until destroyed; nobody else
// can take it meanwhile. The kernel keeps up to 1024 edges while nobody reads, drops the oldest, and numbers all.
// Edges of the first 50 ms, while the bias settles, are left out and not numbered, so that they make no pulse.
// Times are of CLOCK_MONOTONIC.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/gpio_line.hpp"
#include "meter-pi/gpio_settings.hpp"

#include <memory>
#include <string>

namespace gpiod {
class edge_event_buffer;
class line_request;
} // namespace gpiod

namespace pulsemeter {

// Looks over all chips of this machine.
[[nodiscard]] tl::expected<FoundLine, NoLine> find_line(const LinePlace& place);

[[nodiscard]] std::string gpiod_version(); // "2.1.3"

class GpiodEdgeSource : public EdgeSource {
public:
    // Throws UsageError (held, no permission), SensorMissing (the chip is gone), std::runtime_error (not able to).
    GpiodEdgeSource(const FoundLine& line, const GpioSettings& settings);
    ~GpiodEdgeSource() override;
    GpiodEdgeSource(const GpiodEdgeSource&) = delete;
    GpiodEdgeSource& operator=(const GpiodEdgeSource&) = delete;

    [[nodiscard]] Detection detection() const override { return detection_; }
    [[nodiscard]] Level level_at_start() const override { return level_at_start_; }
    void wait(std::chrono::milliseconds timeout, const std::stop_token& stop) override;
    [[nodiscard]] std::vector<Edge> read() override;
    [[nodiscard]] std::chrono::nanoseconds now() const override;

private:
    void settle();
    void drain();

    FoundLine line_;
    Detection detection_;
    Level level_at_start_ = Level::inactive;
    std::uint32_t seqno_before_start_ = 0;
    std::unique_ptr<gpiod::line_request> request_;
    std::unique_ptr<gpiod::edge_event_buffer> buffer_;
    int stop_ = -1; // an eventfd that ends wait()
};

} // namespace pulsemeter
