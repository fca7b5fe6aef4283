// A broker as nobody would want it: it holds what was published until the world decides what becomes of it, and
// remembers a sample of everything it ever saw. Bus is one client's connection to it. One thread.
#pragma once

#include "shared/message_bus.hpp"
#include "tests/sim/dice.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pulsemeter::sim {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Parcel {
    std::string topic;
    std::string payload;
};

class Bus;

class Broker {
public:
    static constexpr std::size_t most_on_the_way = 2'000; // beyond it the oldest are lost
    static constexpr std::size_t most_seen = 400;

    explicit Broker(std::uint64_t seed) : dice_(seed) {}

    void take_in(const Parcel& parcel, Retain retain);
    void deliver(const Parcel& parcel); // to whoever has subscribed and is connected
    void deliver_all();
    void forget(); // amnesia: a new process with an empty disk; everyone is disconnected
    void disconnect(Bus& bus);
    void disconnect_all();

    bool is_up = true;
    std::deque<Parcel> on_the_way;
    std::vector<Parcel> seen;
    std::map<std::string, std::string> retained;

private:
    friend class Bus;
    Dice dice_;
    std::set<Bus*> buses_;
    std::uint64_t published_ = 0;
};

class Bus : public MessageBus {
public:
    // `publishing` sees each message first, and answers whether the machine is still there to send it.
    Bus(Broker& broker, std::function<bool(const Parcel&)> publishing);
    ~Bus() override;
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    void subscribe(const std::string& topic) override { topics_.insert(topic); }
    void unsubscribe(const std::string& topic) override { topics_.erase(topic); }
    [[nodiscard]] bool publish(const std::string& topic, std::string_view payload, Retain retain) override;
    [[nodiscard]] std::vector<BusEvent> take() override;
    SteadyTime tick(SteadyTime now) override;
    void close() override {}

    [[nodiscard]] bool has_news() const { return !events_.empty(); }
    [[nodiscard]] bool is_connected() const { return connected_; }

private:
    friend class Broker;
    Broker& broker_;
    std::function<bool(const Parcel&)> publishing_;
    std::set<std::string> topics_;
    std::vector<BusEvent> events_;
    bool connected_ = false;
    std::optional<SteadyTime> retry_at_;
};

} // namespace pulsemeter::sim
