#include "shared/paho_message_bus.hpp"

#include "shared/backoff.hpp"
#include "shared/broker_files.hpp"
#include "shared/bus_inbox.hpp"
#include "shared/connection_trouble.hpp"
#include "shared/log.hpp"
#include "shared/mqtt_reason.hpp"
#include "shared/paho_connection.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>
#include <thread>

namespace pulsemeter {
namespace {

using std::chrono::steady_clock;
using Time = steady_clock::time_point;

constexpr std::chrono::milliseconds first_wait{500};
constexpr std::chrono::seconds longest_wait{30};
constexpr std::chrono::seconds calm_after{10}; // a broker that accepts and drops us is no reason to hurry
constexpr std::chrono::seconds answer_within{10};
constexpr std::chrono::seconds goodbye_within{2};
constexpr std::chrono::minutes between_warnings{1};

bool is_tls(const BrokerSettings& settings)
{
    return settings.url.transport == Transport::tls;
}

} // namespace

struct PahoMessageBus::Impl {
    enum class Stage { waiting, looking_up, connecting, diagnosing, subscribing, ready, closed };

    Impl(const BrokerSettings& broker, std::string id, std::uint64_t seed, std::function<void()> wake)
        : settings(broker),
          client_id(std::move(id)),
          backoff(first_wait, longest_wait, seed),
          inbox(std::make_shared<BusInbox>(std::move(wake)))
    {
    }

    void begin(Time now);
    void look_up_name();
    void connect(Time now);
    void connect_to_next_or_fail(Time now, const std::string& reason);
    void diagnose(Time now);
    void fail(Time now, const std::string& reason);
    void drop_connection();
    [[nodiscard]] bool may_hang() const;
    void become_ready(Time now);
    [[nodiscard]] std::string subscribing_to(const std::string& topic);

    // Takes in what the other threads reported; whether anything but messages was among it.
    bool process(Time now);
    void handle(Received&& received, Time now);
    void handle(LookedUp&& looked_up, Time now);
    void handle(const Opened& opened, Time now);
    void handle(const OpenFailed& failed, Time now);
    void handle(const Subscribed& subscribed, Time now);
    void handle(const SubscribeFailed& failed, Time now);
    void handle(const Lost& lost, Time now);
    void handle(const PublishRefused& refused, Time now);
    void handle(const Diagnosed& diagnosed, Time now);
    void handle(const Abandoned& abandoned, Time now);

    void time_out(Time now);
    [[nodiscard]] Time warn_of_dropped(Time now);

    const BrokerSettings settings;
    const std::string client_id;
    Backoff backoff;
    std::shared_ptr<BusInbox> inbox; // shared with the thread that looks up a name, which may hang for long
    std::vector<std::string> topics;
    std::vector<BusEvent> events;
    std::size_t messages = 0; // among the events

    Stage stage = Stage::waiting;
    Time deadline = Time::min(); // of the stage
    Time ready_since{};
    bool name_in_question = false;
    bool abandoned = false;               // a connection hangs in Paho, and would take a next one with it
    std::vector<BrokerAddress> addresses; // of this attempt
    std::size_t address = 0;              // the one in use
    ConnectionNumber number = 0;
    std::unique_ptr<PahoConnection> connection;
    std::size_t unacknowledged = 0; // subscriptions

    BusInbox::Dropped dropped; // not yet told
    Time next_warning = Time::min();
    Time next_refusal_told = Time::min();
};

void PahoMessageBus::Impl::begin(Time now)
{
    if (abandoned) {
        fail(now, fmt::format("still no answer to who {} is: check the network's DNS", settings.url.host));
        return;
    }
    if (const auto numeric = numeric_address(settings.url)) {
        addresses = {*numeric};
        address = 0;
        connect(now);
        return;
    }
    stage = Stage::looking_up;
    deadline = now + answer_within;
    try {
        look_up_name();
    } catch (const std::system_error& error) {
        fail(now, fmt::format("the name can't be looked up: {}", error.what()));
    }
}

// Paho would do it under the lock that all its functions take, and a DNS server that hangs would stop the loop.
void PahoMessageBus::Impl::look_up_name()
{
    if (name_in_question) // the answer to an earlier attempt's question will do
        return;
    std::thread([inbox = inbox, url = settings.url] { inbox->push(LookedUp{look_up(url)}); }).detach();
    name_in_question = true;
}

void PahoMessageBus::Impl::connect(Time now)
{
    drop_connection();
    stage = Stage::connecting;
    deadline = now + answer_within;
    try {
        const std::string uri = is_tls(settings) ? uri_for_tls(settings.url) : addresses[address].uri();
        connection = std::make_unique<PahoConnection>(number, uri, client_id, settings, *inbox);
        if (!connection->connect())
            fail(now, "a connection can't be begun");
    } catch (const std::exception& error) {
        fail(now, error.what());
    }
}

void PahoMessageBus::Impl::connect_to_next_or_fail(Time now, const std::string& reason)
{
    if (!is_tls(settings) && address + 1 < addresses.size()) {
        ++address;
        connect(now);
    } else {
        fail(now, reason);
    }
}

// Paho knows that TLS failed, but not why. We shake hands once more and look.
void PahoMessageBus::Impl::diagnose(Time now)
{
    stage = Stage::diagnosing;
    deadline = now + answer_within;
    try {
        std::thread([inbox = inbox, to = addresses[address], settings = settings, number = number] {
            inbox->push(Diagnosed{number, why_tls_failed(to, settings)});
        }).detach();
    } catch (const std::system_error&) {
        fail(now, why_broken_off(settings));
    }
}

void PahoMessageBus::Impl::fail(Time now, const std::string& reason)
{
    if (stage == Stage::ready && now - ready_since >= calm_after)
        backoff.reset();
    drop_connection();
    events.emplace_back(Disconnected{fmt::format("{}: {}", settings.url.text(), reason)});
    stage = Stage::waiting;
    deadline = now + backoff.next();
}

// Paho looks up a name under the lock that destroying a client needs: then not this thread is to wait for it.
void PahoMessageBus::Impl::drop_connection()
{
    ++number;
    if (!connection || !may_hang()) {
        connection.reset();
        return;
    }
    try {
        std::thread([inbox = inbox,
                     hanging = std::shared_ptr<PahoConnection>(std::move(connection))]() mutable {
            hanging.reset();
            inbox->push(Abandoned{});
        }).detach();
        abandoned = true;
    } catch (const std::system_error& error) { // it went here, and we may have waited
        log::debug("{}", error.what());
    }
}

bool PahoMessageBus::Impl::may_hang() const
{
    return stage == Stage::connecting && is_tls(settings) && !numeric_address(settings.url);
}

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

void PahoMessageBus::Impl::handle(LookedUp&& looked_up, Time now)
{
    name_in_question = false;
    if (stage != Stage::looking_up)
        return;
    if (!looked_up.addresses) {
        fail(now, looked_up.addresses.error());
        return;
    }
    addresses = *std::move(looked_up.addresses);
    address = is_tls(settings) ? address_for_tls(addresses) : 0;
    connect(now);
}

void PahoMessageBus::Impl::handle(const Opened& opened, Time now)
{
    if (opened.connection != number)
        return;
    for (const auto& each : addresses)
        send_small_packets_at_once(each);
    stage = Stage::subscribing;
    deadline = now + answer_within;
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

void PahoMessageBus::Impl::handle(const OpenFailed& failed, Time now)
{
    if (failed.connection != number)
        return;
    if (failed.code > 0) {
        fail(now, mqtt_reason(failed.code, settings));
    } else if (is_tls(settings)) {
        diagnose(now);
    } else {
        connect_to_next_or_fail(now, why_unreachable(addresses[address]).value_or(why_broken_off(settings)));
    }
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
    if (lost.connection == number)
        fail(now, lost.code == 0 ? "connection lost" : mqtt_reason(lost.code, settings));
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

void PahoMessageBus::Impl::handle(const Diagnosed& diagnosed, Time now)
{
    if (diagnosed.connection == number && stage == Stage::diagnosing)
        fail(now, diagnosed.reason);
}

void PahoMessageBus::Impl::handle(const Abandoned&, Time)
{
    abandoned = false;
}

void PahoMessageBus::Impl::time_out(Time now)
{
    switch (stage) {
    case Stage::waiting:
        begin(now);
        break;
    case Stage::looking_up:
        fail(now,
             fmt::format("no answer within 10 s to who {} is: check the network's DNS", settings.url.host));
        break;
    case Stage::connecting:
        connect_to_next_or_fail(now, "no answer within 10 s: check the network, and host and port in url");
        break;
    case Stage::diagnosing:
        fail(now, "TLS fails, and the broker does not answer any more");
        break;
    case Stage::subscribing:
        fail(now, "no answer to a subscription within 10 s");
        break;
    case Stage::ready:
    case Stage::closed:
        break;
    }
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
