// One attempt to be connected, from the broker's name to a connection or the reason why there is none.
#include "shared/connection_trouble.hpp"
#include "shared/log.hpp"
#include "shared/mqtt_reason.hpp"
#include "shared/paho_message_bus_impl.hpp"

#include <fmt/core.h>

#include <system_error>
#include <thread>
#include <utility>

namespace pulsemeter {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds calm_after{10}; // a broker that accepts and drops us is no reason to hurry
constexpr int suspicious_losses = 4;           // so soon, in a row
constexpr std::chrono::minutes rival_told_every{10};

bool is_tls(const BrokerSettings& settings)
{
    return settings.url.transport == Transport::tls;
}

} // namespace

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
    deadline = now + answers_within;
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
    deadline = now + answers_within;
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
    deadline = now + answers_within;
    try {
        std::thread([inbox = inbox, to = addresses[address], settings = settings, number = number] {
            inbox->push(Diagnosed{number, why_tls_failed(to, settings)});
        }).detach();
    } catch (const std::system_error&) {
        fail(now, why_broken_off(settings));
    }
}

void PahoMessageBus::Impl::fail(Time now, const std::string& reason, Loss loss)
{
    std::string words = reason;
    const bool was_ready = stage == Stage::ready;
    if (was_ready)
        note_loss(now);
    if (stage == Stage::connecting)
        short_lived = 0; // the broker is away: no other program makes it so
    if (was_ready && short_lived >= suspicious_losses && loss == Loss::connection && now >= next_rival_told) {
        words += fmt::format(
            ", {} times in a row soon after it was made: another program may use the client id {} "
            "(some brokers take the user name for it): give each program a user and a "
            "configuration of its own, and see the broker's log",
            short_lived, client_id);
        loss = Loss::client_id_contested;
    }
    if (loss == Loss::client_id_contested) {
        if (now < next_rival_told) {
            loss = Loss::connection;
        } else {
            next_rival_told = now + rival_told_every;
        }
    }
    drop_connection();
    events.emplace_back(Disconnected{fmt::format("{}: {}", settings.url.text(), words), loss});
    stage = Stage::waiting;
    deadline = now + backoff.next();
}

// Many brokers do not say why they end a connection. One that another client with our id has taken over is lost soon after
// it is made, again and again.
void PahoMessageBus::Impl::note_loss(Time now)
{
    if (now - ready_since >= calm_after) {
        backoff.reset();
        short_lived = 0;
        return;
    }
    ++short_lived;
}

// Paho looks up a name under the lock that destroying a client needs: then not this thread is to wait for it.
void PahoMessageBus::Impl::drop_connection()
{
    ++number;
    refused_topics_due = Time::max();
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

} // namespace pulsemeter
