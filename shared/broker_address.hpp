// What the message bus needs of the network beside Paho: addresses by name, the reason why a connection failed, and
// a socket that does not hold small packets back. Values; safe from any thread.
#pragma once

#include "shared/broker_settings.hpp"

#include <sys/socket.h>
#include <tl/expected.hpp>

#include <chrono>
#include <cstddef>
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

// A TCP connection, which is the caller's to close, or why there is none, for people.
[[nodiscard]] tl::expected<int, std::string> connected_socket(const BrokerAddress& address,
                                                              std::chrono::milliseconds patience);

// For TLS Paho is given the name, which is what it checks the certificate against, and looks it up once more for itself.
[[nodiscard]] std::string uri_for_tls(const BrokerUrl& url);

// Which of a name's addresses Paho takes then: the first of IPv4, else the first.
[[nodiscard]] std::size_t address_for_tls(const std::vector<BrokerAddress>& addresses);

// Sets TCP_NODELAY on every socket of this process that is connected to the address; how many there are. Paho has no
// option for it, and with Nagle's algorithm a reading and its confirmation take 44 ms instead of 0.4 ms.
std::size_t send_small_packets_at_once(const BrokerAddress& address);

} // namespace pulsemeter
