// The one extra thread of the meter: takes edges from the kernel and counts them, so that no fsync, network or cipher
// ever delays it. The loop asks for the tally when it wants one, and gets it with every edge that is there by then: a
// reading's total and its time must belong together, whichever thread was held up. A line that is gone is opened again
// with back-off, counts kept; anything else that ends the thread is thrown to the loop by tally(): a dead meter never
// goes on silently.
#pragma once

#include "meter-pi/edge_source.hpp"
#include "meter-pi/pulse_counter.hpp"
#include "shared/reading.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace pulsemeter {

// All of it since construction.
struct Tally {
    std::uint64_t pulses = 0;
    Quality quality;
    std::optional<Milliwatts> power;
    std::string sensor_trouble; // empty: the sensor is there
    bool was_fed = false;       // a source was opened
};

class EdgeReader {
public:
    using Opener =
        std::function<std::unique_ptr<EdgeSource>()>; // throws std::exception while the line is not there

    // `first` is the source that is already open; null: missing for now, because of `trouble`. Without edges the
    // thread comes round once in `turn`.
    EdgeReader(std::unique_ptr<EdgeSource> first, std::string trouble, Opener open, const PulseFilter& filter,
               MeterConstant constant, std::chrono::milliseconds turn);
    ~EdgeReader();

    EdgeReader(const EdgeReader&) = delete;
    EdgeReader& operator=(const EdgeReader&) = delete;

    [[nodiscard]] Tally tally(); // any thread
    // How often the thread has come round, edges or not, sensor or not: one that hangs stands still. Any thread.
    [[nodiscard]] std::uint64_t turns() const { return turns_; }

private:
    void run(const std::stop_token& stop);
    void count(const std::stop_token& stop);
    void reopen(const std::stop_token& stop);
    void take_in_edges(); // mutex_ is held

    Opener open_;
    PulseFilter filter_;
    MeterConstant constant_;
    std::chrono::milliseconds turn_;
    std::atomic<std::uint64_t> turns_ = 0;

    std::mutex mutex_; // guards all below
    std::unique_ptr<EdgeSource>
        source_; // set by the thread alone, which may therefore wait on it without the lock
    std::optional<PulseCounter> counter_;
    std::string trouble_;
    bool was_fed_ = false;
    std::exception_ptr failure_;

    std::jthread thread_; // last: it must not start before the rest is made
};

} // namespace pulsemeter
