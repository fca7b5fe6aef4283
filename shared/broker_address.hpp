// What the message bus needs of the network beside Paho: addresses by name, the reason why a connection failed, and
// a socket that does not hold small packets back. Values; safe from any thread.
#pragma once

#include "shared/broker_settings.hpp"

#include <sys/socket.h>
#include <tl/expected.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace pulsemeter {

struct BrokerAddress {
    sockaddr_storage socket{};
    socklen_t length = 0;
    [[nodiscard]] std::string uri() const; // numeric, as Paho takes it: "tcp://[::1]:1883"
};

using BrokerAddresses =
    tl::expected<std::vector<BrokerAddress>, std::string>; // or why there are none, for people

// Blocks for as long as the resolver does. Never an empty list.
[[nodiscard]] BrokerAddresses look_up(const BrokerUrl& url);

// The same without asking anyone; nothing if the host is a name.
[[nodiscard]] std::optional<BrokerAddress> numeric_address(const BrokerUrl& url);

// Tries a TCP connection, for no longer than `within`, and says why there is none; nothing if there is one.
[[nodiscard]] std::optional<std::string>
why_unreachable(const BrokerAddress& address,
                std::chrono::milliseconds within = std::chrono::milliseconds(100));

// Sets TCP_NODELAY on every socket of this process that is connected to the address; how many there are. Paho has no
// option for it, and with Nagle's algorithm a reading and its confirmation take 44 ms instead of 0.4 ms.
std::size_t send_small_packets_at_once(const BrokerAddress& address);

} // namespace pulsemeter
