#include "meter-pi/edge_reader.hpp"

#include "meter-pi/power_estimate.hpp"
#include "shared/log.hpp"

#include <pthread.h>

#include <condition_variable>

namespace pulsemeter {

namespace {
constexpr std::chrono::milliseconds turn{
    2'000}; // how long a stop may take, and how old an idle meter's watts are
constexpr std::chrono::seconds reopen_every{2};
} // namespace

EdgeReader::EdgeReader(std::unique_ptr<EdgeSource> first, std::string trouble, Opener open,
                       const PulseFilter& filter, MeterConstant constant)
    : source_(std::move(first)), open_(std::move(open)), filter_(filter), constant_(constant)
{
    tally_.sensor_trouble = std::move(trouble);
    if (source_) {
        counter_.emplace(source_->detection(), source_->level_at_start(), filter_);
        publish();
    }
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

EdgeReader::~EdgeReader() = default;

Tally EdgeReader::tally() const
{
    const std::lock_guard lock(mutex_);
    if (failure_)
        std::rethrow_exception(failure_);
    return tally_;
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
            counter_->add(source_->read(turn));
            publish();
            ++turns_;
        }
    } catch (const SensorMissing& gone) {
        log::error("sensor missing: {}; the register keeps its total, counting goes on when the line is back",
                   gone.what());
        source_.reset();
        const std::lock_guard lock(mutex_);
        tally_.sensor_trouble = gone.what();
        tally_.power.reset();
    }
}

void EdgeReader::reopen(const std::stop_token& stop)
{
    std::mutex mutex;
    std::condition_variable_any pause;
    std::unique_lock lock(mutex);
    if (pause.wait_for(lock, stop, reopen_every, [&] { return stop.stop_requested(); }))
        return;
    try {
        source_ = open_();
    } catch (const std::exception& failure) {
        const std::lock_guard guard(mutex_);
        tally_.sensor_trouble = failure.what();
        return;
    }
    if (counter_) {
        counter_->restart(source_->level_at_start());
    } else {
        counter_.emplace(source_->detection(), source_->level_at_start(), filter_);
    }
    log::info("the sensor's line is there: counting");
    publish();
}

void EdgeReader::publish()
{
    const auto power =
        estimate_power(constant_, counter_->last_pulse(), counter_->last_spacing(), source_->now());
    const std::lock_guard lock(mutex_);
    tally_.pulses = counter_->pulses();
    tally_.quality = counter_->quality();
    tally_.power = power;
    tally_.sensor_trouble.clear();
    tally_.was_fed = true;
}

} // namespace pulsemeter
