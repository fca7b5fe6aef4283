// Why a connection that Paho could not open can't be opened, and what to do about it, for people: found out by trying
// once more. Thread-safe.
#pragma once

#include "shared/broker_address.hpp"

#include <optional>
#include <string>

namespace pulsemeter {

// Tries a TCP connection; nothing if there is one.
[[nodiscard]] std::optional<std::string>
why_unreachable(const BrokerAddress& address,
                std::chrono::milliseconds within = std::chrono::milliseconds(100));

// Shakes hands too. Blocks for some seconds if the broker is slow.
[[nodiscard]] std::string why_tls_failed(const BrokerAddress& address, const BrokerSettings& settings);

// Where nothing else is found: the broker takes the connection and ends it.
[[nodiscard]] std::string why_broken_off(const BrokerSettings& settings);

} // namespace pulsemeter
