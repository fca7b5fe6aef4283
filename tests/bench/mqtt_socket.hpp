// MQTT 3.1.1 at its barest, for load: one connection, QoS 1, no waiting for PUBACKs. For benchmarks on loopback only: a
// broker that misbehaves ends the program with an exception. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace pulsemeter::bench {

// A whole PUBLISH packet, QoS 1, not retained; made before the clock starts.
[[nodiscard]] std::string publish_packet(std::string_view topic, std::string_view payload, std::uint16_t id);

class MqttSocket {
public:
    using OnPublish = std::function<void(std::string_view topic, std::string_view payload)>;

    MqttSocket(std::uint16_t port, const std::string& client_id); // connected when it returns
    ~MqttSocket();
    MqttSocket(const MqttSocket&) = delete;
    MqttSocket& operator=(const MqttSocket&) = delete;

    void subscribe(std::span<const std::string> topics); // acknowledged when it returns

    void queue(std::string_view packet) { out_ += packet; }
    [[nodiscard]] std::size_t queued() const { return out_.size(); }

    // Sends what is queued as far as the socket takes it, waits for input (10 s at most, then throws), and hands every
    // message on. They are acknowledged after `all_taken`, which is called once for all of a turn.
    void turn(
        const OnPublish& on_publish, const std::function<void()>& all_taken = [] {});

private:
    void send_some();
    void receive();
    [[nodiscard]] std::string_view next_packet(); // empty: none is complete
    void wait_for(std::uint8_t type);

    int socket_ = -1;
    std::string out_;
    std::array<char, 65536> input_{}; // what came at once
    std::string in_;
    std::size_t taken_ = 0; // of `in_`
};

} // namespace pulsemeter::bench
