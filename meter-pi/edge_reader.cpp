#include "meter-pi/edge_reader.hpp"

#include "meter-pi/power_estimate.hpp"
#include "shared/log.hpp"

#include <pthread.h>

#include <condition_variable>

namespace pulsemeter {

namespace {
constexpr std::chrono::seconds reopen_every{2};
constexpr int most_batches = 64; // at once: a line that never rests must not keep the loop
} // namespace

EdgeReader::EdgeReader(std::unique_ptr<EdgeSource> first, std::string trouble, Opener open,
                       const PulseFilter& filter, MeterConstant constant, std::chrono::milliseconds turn)
    : open_(std::move(open)),
      filter_(filter),
      constant_(constant),
      turn_(turn),
      source_(std::move(first)),
      trouble_(std::move(trouble)),
      was_fed_(source_ != nullptr)
{
    if (source_)
        counter_.emplace(source_->detection(), source_->level_at_start(), filter_);
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

EdgeReader::~EdgeReader() = default;

Tally EdgeReader::tally()
{
    const std::lock_guard lock(mutex_);
    if (failure_)
        std::rethrow_exception(failure_);
    Tally tally{.sensor_trouble = trouble_, .was_fed = was_fed_};
    if (source_) {
        try {
            take_in_edges();
        } catch (const SensorMissing& gone) {
            tally.sensor_trouble = gone.what(); // the thread sees it as well, and opens the line again
        }
    }
    if (counter_) {
        tally.pulses = counter_->pulses();
        tally.quality = counter_->quality();
    }
    if (tally.sensor_trouble.empty() && source_)
        tally.power =
            estimate_power(constant_, counter_->last_pulse(), counter_->last_spacing(), source_->now());
    return tally;
}

void EdgeReader::take_in_edges()
{
    for (int batch = 0; batch < most_batches; ++batch) {
        const auto edges = source_->read();
        counter_->add(edges);
        if (edges.size() < EdgeSource::largest_batch)
            return;
    }
}

void EdgeReader::run(const std::stop_token& stop)
{
    pthread_setname_np(pthread_self(), "edges"); // for whoever looks at a meter that hangs
    try {
        while (!stop.stop_requested()) {
            if (source_) {
                count(stop);
            } else {
                reopen(stop);
            }
            ++turns_;
        }
    } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
    }
}

void EdgeReader::count(const std::stop_token& stop)
{
    try {
        while (!stop.stop_requested()) {
            source_->wait(turn_, stop);
            const std::lock_guard lock(mutex_);
            take_in_edges();
            ++turns_;
        }
    } catch (const SensorMissing& gone) {
        log::error("sensor missing: {}; the register keeps its total, counting goes on when the line is back",
                   gone.what());
        const std::lock_guard lock(mutex_);
        source_.reset();
        trouble_ = gone.what();
    }
}

void EdgeReader::reopen(const std::stop_token& stop)
{
    std::mutex mutex;
    std::condition_variable_any pause;
    std::unique_lock pausing(mutex);
    if (pause.wait_for(pausing, stop, reopen_every, [&] { return stop.stop_requested(); }))
        return;
    std::unique_ptr<EdgeSource> source;
    try {
        source = open_();
    } catch (const std::exception& failure) {
        const std::lock_guard lock(mutex_);
        trouble_ = failure.what();
        return;
    }
    log::info("the sensor's line is there: counting");
    const std::lock_guard lock(mutex_);
    source_ = std::move(source);
    if (counter_) {
        counter_->restart(source_->level_at_start());
    } else {
        counter_.emplace(source_->detection(), source_->level_at_start(), filter_);
    }
    trouble_.clear();
    was_fed_ = true;
}

} // namespace pulsemeter
