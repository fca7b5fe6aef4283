// Port: a publish/subscribe broker that is not trusted and often not there. The adapter connects, reconnects with
// jittered back-off and subscribes again by itself; the program only sees what happened, in order, by take().
// One thread calls all of this; what the adapter's own threads learn they enqueue (bounded) and wake the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pulsemeter {

struct Connected {}; // and every subscription answered, one at least granted (if there is any)
enum class Loss : std::uint8_t {
    connection,
    all_topics_refused, // the broker took us in, and lets us hear nothing that we asked for
    topic_not_taken,    // … or ended the connection over a topic, or says that there can't be such a one
    client_id_contested // as connection: another program comes with our client id, for all we know. At most every 10 min
};
struct Disconnected {
    std::string reason;
    Loss loss = Loss::connection;
}; // for people: names what failed; once per loss or failed attempt
struct Received {
    std::string topic;
    std::string payload;
    int qos = 0;
    bool retained = false;
};
struct PublishDenied {
    std::string reason;
}; // for people: names the topic. The connection is good, and others of its topics may be. MQTT 5 only
struct SubscribeDenied {
    std::string reason;
}; // for people: names the topic, and how many more there are. Others were granted, so the connection is good. Told at
    // most once a minute, while such a topic is tried again
using BusEvent = std::variant<Connected, Disconnected, Received, PublishDenied, SubscribeDenied>;

enum class Retain : bool { no, yes };

class MessageBus {
public:
    virtual ~MessageBus() = default;

    // QoS 1. Remembered and subscribed again at every connect; on a live connection at once. The same topic twice
    // is one subscription. A topic that the broker refuses is asked for again every minute; if it refuses all, that
    // is a Disconnected.
    virtual void subscribe(const std::string& topic) = 0;

    // As subscribe(), but a connection without this topic is none: if the broker refuses it, that is a Disconnected.
    virtual void require(const std::string& topic) { subscribe(topic); }

    // The topic is wanted no more, also if it was required; on a live connection the broker is told. What is on its way
    // may still come. Who subscribes again gets the retained message again. If the broker refuses all that are left, that
    // is a Disconnected; that none is left is none.
    virtual void unsubscribe(const std::string& topic) = 0;

    // QoS 1, never blocks. False: not connected, or too many publishes are outstanding; nothing was sent then.
    // True promises nothing but an attempt: only a sealed confirmation does.
    [[nodiscard]] virtual bool publish(const std::string& topic, std::string_view payload, Retain retain) = 0;

    // All that happened since the last call, oldest first.
    [[nodiscard]] virtual std::vector<BusEvent> take() = 0;

    // Connects, times out, backs off. Call it when woken and at the time that it returned.
    virtual std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) = 0;

    // Says goodbye to the broker; waits for outstanding publishes and the broker's answer, 2 s at most.
    virtual void close() = 0;
};

} // namespace pulsemeter
