// How to reach the broker: the [broker] table of both programs' configuration.
#pragma once

#include "shared/config_file.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pulsemeter {

enum class MqttVersion { v3_1_1, v5 };

struct BrokerUrl {
    std::string host; // name or address, IPv6 without its brackets
    std::uint16_t port = 1883;
    auto operator<=>(const BrokerUrl&) const = default;
    // "mqtt://HOST[:PORT]". Throws UsageError that quotes the text and says what is allowed.
    [[nodiscard]] static BrokerUrl parse(std::string_view text);
    [[nodiscard]] std::string text() const;
};

struct BrokerSettings {
    BrokerUrl url;
    MqttVersion version = MqttVersion::v5; // key mqtt_version = "5" | "3.1.1"
};

// Reads keys `url` (required) and `mqtt_version` of the table.
[[nodiscard]] BrokerSettings read_broker(ConfigFile::Table table);

} // namespace pulsemeter
