#include "shared/broker_files.hpp"
#include "shared/log.hpp"
#include "shared/mqtt_reason.hpp"
#include "shared/paho_message_bus_impl.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

namespace pulsemeter {
namespace {

using std::chrono::steady_clock;
using Time = steady_clock::time_point;

constexpr std::chrono::seconds goodbye_within{2};
constexpr std::chrono::minutes between_warnings{1};

} // namespace

void PahoMessageBus::Impl::become_ready(Time now)
{
    stage = Stage::ready;
    deadline = Time::max();
    ready_since = now;
    events.emplace_back(Connected{});
}

// Why it could not even be sent, else nothing.
std::string PahoMessageBus::Impl::subscribing_to(const std::string& topic)
{
    ++unacknowledged;
    return connection->subscribe(topic) ? "" : "connection lost";
}

bool PahoMessageBus::Impl::process(Time now)
{
    bool more_than_messages = false;
    for (auto& report : inbox->take()) {
        more_than_messages |= !std::holds_alternative<Received>(report);
        std::visit([&](auto& what) { handle(std::move(what), now); }, report);
    }
    return more_than_messages;
}

void PahoMessageBus::Impl::handle(Received&& received, Time)
{
    events.emplace_back(std::move(received));
    ++messages;
}

void PahoMessageBus::Impl::handle(const Opened& opened, Time now)
{
    if (opened.connection != number)
        return;
    for (const auto& each : addresses)
        send_small_packets_at_once(each);
    stage = Stage::subscribing;
    deadline = now + answers_within;
    unacknowledged = 0;
    for (const auto& topic : topics) {
        const std::string trouble = subscribing_to(topic);
        if (!trouble.empty()) {
            fail(now, trouble);
            return;
        }
    }
    if (topics.empty())
        become_ready(now);
}

void PahoMessageBus::Impl::handle(const Subscribed& subscribed, Time now)
{
    if (subscribed.connection != number)
        return;
    --unacknowledged;
    if (stage == Stage::subscribing && unacknowledged == 0)
        become_ready(now);
}

void PahoMessageBus::Impl::handle(const SubscribeFailed& failed, Time now)
{
    if (failed.connection == number)
        fail(now, fmt::format("topic {}: {}", failed.topic, topic_reason(failed.code, settings)));
}

void PahoMessageBus::Impl::handle(const Lost& lost, Time now)
{
    constexpr int taken_over = 0x8e;
    if (lost.connection != number)
        return;
    if (lost.code == 0) {
        fail(now, "connection lost");
    } else if (lost.code == taken_over) {
        fail(now, fmt::format("another client took over our client id {}: give each program a user and a "
                              "configuration of its own",
                              client_id));
    } else {
        fail(now, mqtt_reason(lost.code, settings));
    }
}

// The connection is good and others of its topics may be: no reason to end it, but one to be told.
void PahoMessageBus::Impl::handle(const PublishRefused& refused, Time now)
{
    if (refused.connection != number || now < next_refusal_told)
        return;
    events.emplace_back(PublishDenied{fmt::format("{}: publishing to topic {}: {}", settings.url.text(),
                                                  refused.topic, topic_reason(refused.code, settings))});
    next_refusal_told = now + between_warnings;
}

Time PahoMessageBus::Impl::warn_of_dropped(Time now)
{
    const auto newly = inbox->take_dropped();
    dropped.too_many += newly.too_many;
    dropped.too_large += newly.too_large;
    if (dropped.too_many + dropped.too_large == 0)
        return Time::max();
    if (now < next_warning)
        return next_warning;
    log::warning("{}: dropped {} messages because {} wait already, and {} larger than {} bytes",
                 settings.url.text(), dropped.too_many, BusInbox::most_messages, dropped.too_large,
                 BusInbox::largest_payload);
    dropped = {};
    next_warning = now + between_warnings;
    return Time::max();
}

PahoMessageBus::PahoMessageBus(const BrokerSettings& settings, std::string client_id, std::uint64_t seed,
                               std::function<void()> wake)
    : impl_(std::make_unique<Impl>(settings, std::move(client_id), seed, std::move(wake)))
{
    check_broker_files(settings);
}

PahoMessageBus::~PahoMessageBus()
{
    impl_->drop_connection();
    impl_->inbox->close();
}

void PahoMessageBus::subscribe(const std::string& topic)
{
    if (std::find(impl_->topics.begin(), impl_->topics.end(), topic) != impl_->topics.end())
        return;
    impl_->topics.push_back(topic);
    if (impl_->stage != Impl::Stage::subscribing && impl_->stage != Impl::Stage::ready)
        return;
    const std::string trouble = impl_->subscribing_to(topic);
    if (!trouble.empty()) {
        impl_->fail(steady_clock::now(), trouble);
        impl_->inbox->wake(); // there is a new deadline
    }
}

bool PahoMessageBus::publish(const std::string& topic, std::string_view payload, Retain retain)
{
    return impl_->stage == Impl::Stage::ready && impl_->connection->publish(topic, payload, retain);
}

std::vector<BusEvent> PahoMessageBus::take()
{
    if (impl_->process(steady_clock::now()))
        impl_->inbox->wake(); // there may be a new deadline
    impl_->inbox->release(std::exchange(impl_->messages, 0));
    return std::exchange(impl_->events, {});
}

Time PahoMessageBus::tick(Time now)
{
    impl_->process(now);
    if (now >= impl_->deadline)
        impl_->time_out(now);
    return std::min(impl_->deadline, impl_->warn_of_dropped(now));
}

void PahoMessageBus::close()
{
    if (impl_->stage == Impl::Stage::ready)
        impl_->connection->wait_for_outstanding(steady_clock::now() + goodbye_within);
    impl_->drop_connection();
    impl_->stage = Impl::Stage::closed;
    impl_->deadline = Time::max();
}

} // namespace pulsemeter
