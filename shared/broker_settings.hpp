// How to reach the broker: the [broker] table of both programs' configuration. Secrets are named by their files and are
// not in here. Whether those files are what they should be is for whoever connects to ask (broker_files.hpp): who only
// wants the tariff need not have them.
#pragma once

#include "shared/config_file.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace pulsemeter {

enum class MqttVersion { v3_1_1, v5 };
enum class Transport { plain, tls };

struct BrokerUrl {
    std::string host; // name or address, IPv6 without its brackets
    std::uint16_t port = 1883;
    Transport transport = Transport::plain;
    auto operator<=>(const BrokerUrl&) const = default;
    // "mqtt://HOST[:PORT]" or, for TLS, "mqtts://HOST[:PORT]"; without a port 1883 or 8883. Throws UsageError that quotes
    // the text and says what is allowed.
    [[nodiscard]] static BrokerUrl parse(std::string_view text);
    [[nodiscard]] std::string text() const;
};

// Whom to believe, and who we are. An empty path: not set.
struct TlsFiles {
    std::filesystem::path ca_file; // certificates of the CAs, PEM …
    std::filesystem::path
        ca_folder; // … or a folder of them, named by `openssl rehash`; neither: the system's
    std::filesystem::path client_cert; // with what signed it, PEM
    std::filesystem::path client_key;  // owner only
};

struct BrokerSettings {
    BrokerUrl url;
    MqttVersion version = MqttVersion::v5; // key mqtt_version = "5" | "3.1.1"
    std::string username;                  // empty: anonymous
    std::filesystem::path password_file;   // owner only; empty: no password
    TlsFiles tls;                          // all empty for mqtt://
};

// Reads `url` (required), `mqtt_version`, `username`, `password_file`, `ca_file`, `ca_folder`, `client_cert` and
// `client_key` of the table; opens no file.
[[nodiscard]] BrokerSettings read_broker(ConfigFile::Table table);

} // namespace pulsemeter
