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
    stuck_due = Time::max();
    events.emplace_back(Connected{});
}

bool PahoMessageBus::Impl::can_subscribe() const
{
    return stage == Stage::subscribing || stage == Stage::ready;
}

// Why it could not even be sent, else nothing.
std::string PahoMessageBus::Impl::subscribing_to(Topics::value_type& topic)
{
    topic.second.number = ++subscriptions;
    return connection->subscribe(topic.first, topic.second.number) ? "" : "connection lost";
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
    unanswered = topics.size();
    for (auto& topic : topics) {
        topic.second = {};
        const std::string trouble = subscribing_to(topic);
        if (!trouble.empty()) {
            fail(now, trouble);
            return;
        }
    }
    judge_answers(now);
}

void PahoMessageBus::Impl::handle(const Subscribed& subscribed, Time now)
{
    if (subscribed.connection == number)
        take_answer(subscribed.topic, {subscribed.subscription, Answer::granted}, now);
}

void PahoMessageBus::Impl::handle(const SubscribeFailed& failed, Time now)
{
    if (failed.connection == number)
        take_answer(failed.topic, {failed.subscription, Answer::refused, failed.code}, now);
}

// Only the answer to what was asked last, and is still wanted, is one.
void PahoMessageBus::Impl::take_answer(const std::string& topic, Subscription subscription, Time now)
{
    const auto found = topics.find(topic);
    if (found == topics.end() || found->second.number != subscription.number)
        return;
    const Subscription before = std::exchange(found->second, subscription);
    if (before.answer == Answer::none)
        --unanswered;
    if (before.is_refused() && subscription.answer == Answer::granted)
        log::info("{}: topic {}: the broker grants it now", settings.url.text(), topic);
    judge_answers(now);
}

// One forbidden topic is no reason to lose the others.
void PahoMessageBus::Impl::judge_answers(Time now)
{
    if (stage == Stage::subscribing && unanswered > 0)
        return;
    if (is_worthless()) {
        fail(now, refused_topics(),
             is_about_the_topic(first_refused()->second.code) ? Loss::topic_not_taken
                                                              : Loss::all_topics_refused);
        return;
    }
    if (stage == Stage::subscribing)
        become_ready(now);
    tell_refused_topics(now);
}

bool PahoMessageBus::Impl::is_worthless() const
{
    return (!topics.empty() && std::all_of(topics.begin(), topics.end(), is_refused)) ||
           std::any_of(topics.begin(), topics.end(),
                       [&](const auto& each) { return is_refused(each) && required.contains(each.first); });
}

PahoMessageBus::Impl::Topics::const_iterator PahoMessageBus::Impl::first_refused() const
{
    return std::find_if(topics.begin(), topics.end(), is_refused);
}

// The first one with its reason, and how many more; empty if there is none.
std::string PahoMessageBus::Impl::refused_topics() const
{
    const auto first = first_refused();
    if (first == topics.end())
        return "";
    const auto more = std::count_if(std::next(first), topics.end(), is_refused);
    return fmt::format("topic {}{}: {}", first->first, more == 0 ? "" : fmt::format(" and {} more", more),
                       topic_reason(first->second.code, settings));
}

void PahoMessageBus::Impl::tell_refused_topics(Time now)
{
    const std::string refused = refused_topics();
    if (refused.empty())
        return;
    refused_topics_due = std::min(refused_topics_due, now + refused_topics_again_after);
    if (now < next_refused_topic_told)
        return;
    events.emplace_back(SubscribeDenied{fmt::format("{}: {}", settings.url.text(), refused)});
    next_refused_topic_told = now + between_warnings;
}

// Somebody may have mended the broker's access list, and need not restart anything for it.
Time PahoMessageBus::Impl::try_refused_topics_again(Time now)
{
    if (now < refused_topics_due)
        return std::min(deadline, refused_topics_due);
    refused_topics_due = Time::max();
    for (auto& topic : topics) {
        if (!is_refused(topic))
            continue;
        refused_topics_due = now + refused_topics_again_after;
        const std::string trouble = subscribing_to(topic);
        if (!trouble.empty()) {
            fail(now, trouble);
            break;
        }
    }
    return std::min(deadline, refused_topics_due);
}

void PahoMessageBus::Impl::handle(const Lost& lost, Time now)
{
    constexpr int taken_over = 0x8e;
    if (lost.connection != number)
        return;
    const bool over_a_topic =
        stage == Stage::subscribing && (lost.code == 0 || is_about_the_topic(lost.code));
    const Loss loss = over_a_topic ? Loss::topic_not_taken : Loss::connection;
    if (lost.code == 0) {
        fail(now, "connection lost", loss);
    } else if (lost.code == taken_over) {
        fail(now,
             fmt::format("another client took over our client id {}: give each program a user and a "
                         "configuration of its own",
                         client_id),
             Loss::client_id_contested);
    } else {
        fail(now, mqtt_reason(lost.code, settings), loss);
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

// A broker that acknowledges nothing more, or a message that Paho has lost track of, would fill the window for ever on a
// connection that is well otherwise.
Time PahoMessageBus::Impl::give_up_what_is_stuck(Time now)
{
    if (stage != Stage::ready)
        return Time::max();
    if (connection->publishes().idle()) {
        stuck_due = Time::max();
    } else if (now >= stuck_due || stuck_due == Time::max()) {
        stuck_due = connection->publishes().stuck_from();
    }
    if (now >= stuck_due) {
        fail(now, "the broker no longer acknowledges what is published");
        return deadline;
    }
    return stuck_due;
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
    const auto [place, is_new] = impl_->topics.emplace(topic, Impl::Subscription{});
    if (!is_new || !impl_->can_subscribe())
        return;
    ++impl_->unanswered;
    const std::string trouble = impl_->subscribing_to(*place);
    if (!trouble.empty()) {
        impl_->fail(steady_clock::now(), trouble);
        impl_->inbox->wake(); // there is a new deadline
    }
}

void PahoMessageBus::require(const std::string& topic)
{
    impl_->required.insert(topic);
    subscribe(topic);
}

void PahoMessageBus::unsubscribe(const std::string& topic)
{
    impl_->required.erase(topic);
    const auto found = impl_->topics.find(topic);
    if (found == impl_->topics.end())
        return;
    const Impl::Answer answer = found->second.answer;
    impl_->topics.erase(found);
    if (!impl_->can_subscribe())
        return;
    if (answer == Impl::Answer::none)
        --impl_->unanswered;
    const Time now = steady_clock::now();
    if (impl_->connection->unsubscribe(topic)) {
        impl_->judge_answers(now);
    } else {
        impl_->fail(now, "connection lost");
    }
    impl_->inbox->wake(); // there may be a new deadline
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
    const Time stuck = impl_->give_up_what_is_stuck(now);
    const Time again = impl_->try_refused_topics_again(now);
    return std::min({stuck, again, impl_->warn_of_dropped(now)});
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
