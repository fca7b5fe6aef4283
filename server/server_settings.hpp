// server.toml: how to reach the broker and what a kWh costs. Validated at once; errors name file, line and
// key.
#pragma once

#include "server/tariff.hpp"
#include "shared/broker_settings.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace pulsemeter {

struct ServerSettings {
    BrokerSettings broker;
    Tariff tariff;
};

[[nodiscard]] ServerSettings read_server_settings(const std::filesystem::path& path);
[[nodiscard]] ServerSettings parse_server_settings(std::string_view text, const std::filesystem::path& name);

// What `init` writes: every key with its default and what it is for.
[[nodiscard]] std::string initial_server_settings(const BrokerUrl& broker);

} // namespace pulsemeter
