// Between Paho's threads and the loop's: what happened, in order. Messages are bounded (the newest is dropped and
// counted), all else never is. push() may be called from any thread, also inside a callback: it never blocks, and
// wakes the loop. After close() nothing comes in and nobody is woken any more.
#pragma once

#include "shared/broker_address.hpp"
#include "shared/message_bus.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pulsemeter {

using ConnectionNumber = std::uint64_t; // what an earlier connection still says is no longer of interest
using SubscriptionNumber =
    std::uintptr_t; // nor the answer to a subscription that was given up, or asked for anew

struct LookedUp {
    BrokerAddresses addresses;
};
struct Opened {
    ConnectionNumber connection;
};
struct OpenFailed {
    ConnectionNumber connection;
    int code;
};
struct Subscribed {
    ConnectionNumber connection;
    SubscriptionNumber subscription;
    std::string topic;
};
struct SubscribeFailed {
    ConnectionNumber connection;
    SubscriptionNumber subscription;
    std::string topic;
    int code;
};
struct Lost {
    ConnectionNumber connection;
    int code;
}; // 0: the broker gave no reason
struct PublishRefused {
    ConnectionNumber connection;
    std::string topic;
    int code;
};
struct Diagnosed {
    ConnectionNumber connection;
    std::string reason;
};                   // why it could not be opened, looked for a second time
struct Abandoned {}; // a connection that was left to itself has gone
using BusReport = std::variant<Received, LookedUp, Opened, OpenFailed, Subscribed, SubscribeFailed, Lost,
                               PublishRefused, Diagnosed, Abandoned>;

class BusInbox {
public:
    static constexpr std::size_t most_messages = 10'000;
    static constexpr std::size_t largest_payload = 4096;

    struct Dropped {
        std::uint64_t too_many = 0;
        std::uint64_t too_large = 0;
    };

    explicit BusInbox(std::function<void()> wake) : wake_(std::move(wake)) {}

    void push(BusReport report);
    void count_too_large();
    void wake(); // without news, e.g. because there is room to publish again

    [[nodiscard]] std::vector<BusReport> take();
    void release(std::size_t messages); // that many of the messages taken have left the program's queue
    [[nodiscard]] Dropped take_dropped();
    void close();

private:
    void wake_locked();
    void count(std::uint64_t& dropped);

    std::mutex mutex_;
    std::function<void()> wake_;
    std::vector<BusReport> reports_;
    std::size_t messages_ = 0; // taken in and not yet released
    Dropped dropped_;
};

} // namespace pulsemeter
