#include "meter-pi/doctor.hpp"
#include "meter-pi/host.hpp"
#include "shared/connection_trouble.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/protocol.hpp"
#include "shared/reading_codec.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace pulsemeter::doctor {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::chrono::seconds hello_again{3};

Time now()
{
    return std::chrono::steady_clock::now();
}

// What `run` subscribes to. On the classic wire the total begins with what the broker keeps of the meter's own.
std::vector<std::string> topics_of(const MeterSettings& settings)
{
    if (settings.classic)
        return {settings.classic->down, settings.classic->up};
    return {crypto::derive(settings.key, settings.id).down_topic};
}

struct Heard {
    bool connected = false;
    std::string loss;            // why the connection failed or ended
    bool topics_refused = false; // … and it was good but for them
    std::string denial;          // why the broker does not pass on what we say
    std::optional<State> state;
};

class Conversation {
public:
    Conversation(const MeterSettings& settings, const Hello& hello, MessageBus& bus, EventLoop& loop)
        : id_(settings.id),
          wire_(settings.classic ? Wire::classic : Wire::sealed),
          keys_(crypto::derive(settings.key, settings.id)),
          topics_(topics_of(settings)),
          seal_(keys_.up),
          open_(keys_.down),
          hello_(hello),
          bus_(bus),
          loop_(loop)
    {
    }

    // Until the server has answered, something failed, or the patience is over (for each of connection and answer).
    Heard hold(std::chrono::seconds patience)
    {
        Heard heard;
        for (const std::string& topic : topics_)
            bus_.require(topic);
        Time end = now() + patience;
        Time hello_at = Time::max();
        while (!over(heard) && now() < end && !loop_.stop_requested()) {
            const Time bus_deadline = bus_.tick(now());
            for (const BusEvent& event : bus_.take())
                take_in(event, heard);
            if (heard.connected && wire_ == Wire::classic)
                break; // it has no word that asks and changes nothing
            if (heard.connected && hello_at == Time::max()) {
                hello_at = now();
                end = now() + patience;
            }
            if (now() >= hello_at) {
                say_hello();
                hello_at = now() + hello_again;
            }
            if (!over(heard))
                loop_.wait_until(std::min({bus_deadline, hello_at, end}));
        }
        return heard;
    }

private:
    [[nodiscard]] static bool over(const Heard& heard)
    {
        return heard.state || !heard.loss.empty() || !heard.denial.empty();
    }

    void take_in(const BusEvent& event, Heard& heard)
    {
        if (std::holds_alternative<Connected>(event)) {
            heard.connected = true;
        } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
            heard.loss = loss->reason;
            heard.topics_refused =
                loss->loss == Loss::all_topics_refused || loss->loss == Loss::topic_not_taken;
        } else if (const auto* denied = std::get_if<PublishDenied>(&event)) {
            heard.denial = denied->reason;
        } else if (const auto* received = std::get_if<Received>(&event);
                   received->payload.size() == sealed_size) {
            const auto opened = open_.open(received->payload);
            if (!opened)
                return;
            const auto message = decode_down(id_, opened->plaintext);
            const auto* state = message ? std::get_if<State>(&*message) : nullptr;
            if (state != nullptr && state->nonce == hello_.nonce) // another one is for the running meter
                heard.state = *state;
        }
    }

    void say_hello()
    {
        const auto plain = encode(id_, UpMessage{hello_});
        const auto seconds =
            std::chrono::floor<std::chrono::seconds>(pulsemeter::host::wall_time()).time_since_epoch();
        const auto token =
            seal_.seal(plain, static_cast<std::uint64_t>(seconds.count()), crypto::random_iv());
        (void)bus_.publish(keys_.up_topic, token, Retain::no);
    }

    enum class Wire : std::uint8_t { sealed, classic };

    MeterId id_;
    Wire wire_;
    crypto::MeterKeys keys_;
    std::vector<std::string> topics_;
    crypto::Fernet seal_;
    crypto::Fernet open_;
    Hello hello_;
    MessageBus& bus_;
    EventLoop& loop_;
};

enum class Reached : std::uint8_t { broker, nobody };

Finding tls(const BrokerSettings& broker, Reached reached)
{
    if (broker.url.transport == Transport::plain) {
        return not_looked_at(
            "TLS", fmt::format("not used ({}); the readings are sealed all the same", broker.url.text()));
    }
    const std::string good = "the broker's certificate is trusted and for " + broker.url.host;
    if (reached == Reached::broker)
        return well("TLS", good);
    const auto addresses = look_up(broker.url);
    if (!addresses)
        return not_looked_at("TLS", addresses.error());
    const std::string why = why_tls_failed((*addresses)[address_for_tls(*addresses)], broker);
    return why == why_broken_off(broker) ? well("TLS", good) : wrong("TLS", why);
}

std::string known(const State& state)
{
    if (state.epoch.value == 0)
        return "it knows no reading of this register yet";
    return fmt::format("it knows this register up to reading {} of epoch {}", state.sequence.value,
                       state.epoch.value);
}

Finding server(const Heard& heard)
{
    if (heard.state)
        return well("server", "it answers; " + known(*heard.state));
    if (!heard.loss.empty())
        return wrong("server", heard.loss);
    return wrong("server", "no answer to a Hello",
                 "is meter-server running at this broker, and has it this meter's key (meter-server meter "
                 "list)? may the "
                 "meter publish to its topic?");
}

} // namespace

std::vector<Finding> no_link(const std::string& why)
{
    return {not_looked_at("TLS", why), not_looked_at("login", why), not_looked_at("topics", why),
            not_looked_at("server", why)};
}

std::vector<Finding> link(const MeterSettings& settings, const Hello& hello, MessageBus& bus, EventLoop& loop,
                          std::chrono::seconds patience)
{
    Conversation conversation(settings, hello, bus, loop);
    const Heard heard = conversation.hold(patience);
    bus.close();
    const Reached reached = heard.connected || heard.topics_refused ? Reached::broker : Reached::nobody;
    const std::vector<std::string> topics = topics_of(settings);
    std::vector<Finding> findings{tls(settings.broker, reached)};
    if (reached == Reached::broker) {
        findings.push_back(well("login", "the broker takes us in"));
    } else if (!all_well(findings)) {
        findings.push_back(not_looked_at("login", "TLS stands before it"));
    } else {
        findings.push_back(wrong("login", heard.loss.empty() ? "the broker does not answer" : heard.loss,
                                 heard.loss.empty() ? "is it an MQTT broker?" : ""));
    }
    if (!heard.denial.empty()) {
        findings.push_back(wrong("topics", heard.denial));
        findings.push_back(not_looked_at("server", "there is no way to it"));
        return findings;
    }
    if (heard.connected) {
        findings.push_back(
            well("topics", fmt::format("the broker lets us subscribe to {}", fmt::join(topics, " and "))));
        findings.push_back(
            settings.classic
                ? not_looked_at("server", "the classic wire has no question that changes nothing")
                : server(heard));
        return findings;
    }
    if (heard.topics_refused) {
        findings.push_back(wrong("topics", heard.loss));
    } else {
        findings.push_back(not_looked_at("topics", "not logged in"));
    }
    findings.push_back(not_looked_at("server", "there is no way to it"));
    return findings;
}

} // namespace pulsemeter::doctor
