#include "shared/bus_inbox.hpp"

namespace pulsemeter {

void BusInbox::push(BusReport report)
{
    const std::lock_guard lock(mutex_);
    if (std::holds_alternative<Received>(report)) {
        if (messages_ == most_messages) {
            count(dropped_.too_many);
            return;
        }
        ++messages_;
    }
    reports_.push_back(std::move(report));
    wake_locked();
}

void BusInbox::count_too_large()
{
    const std::lock_guard lock(mutex_);
    count(dropped_.too_large);
}

void BusInbox::wake()
{
    const std::lock_guard lock(mutex_);
    wake_locked();
}

std::vector<BusReport> BusInbox::take()
{
    const std::lock_guard lock(mutex_);
    return std::exchange(reports_, {});
}

void BusInbox::release(std::size_t messages)
{
    const std::lock_guard lock(mutex_);
    messages_ -= messages;
}

BusInbox::Dropped BusInbox::take_dropped()
{
    const std::lock_guard lock(mutex_);
    return std::exchange(dropped_, {});
}

void BusInbox::close()
{
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
}

// The first wakes, so that it is told of; the rest of a flood only counts.
void BusInbox::count(std::uint64_t& dropped)
{
    if (dropped++ == 0)
        wake_locked();
}

void BusInbox::wake_locked()
{
    if (wake_)
        wake_();
}

} // namespace pulsemeter
