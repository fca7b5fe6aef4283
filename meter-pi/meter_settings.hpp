// The meter's configuration file, as `meter-server meter add` writes it: TOML in, validated values out. The
// file holds the meter's key, so it is refused if group or others may read it.
#pragma once

#include "meter-pi/gpio_settings.hpp"
#include "shared/broker_settings.hpp"
#include "shared/classic_codec.hpp"
#include "shared/crypto/meter_keys.hpp"
#include "shared/reading.hpp"

#include <chrono>
#include <filesystem>
#include <optional>

namespace pulsemeter {

enum class SimulatedLoad : std::uint8_t { uniform, household };

struct SimulationSettings {
    SimulatedLoad model = SimulatedLoad::uniform;
    std::uint64_t seed = 0; // 0: another one at every start
    std::uint32_t speed = 1;
};

struct MeterSettings {
    MeterId id;
    crypto::MasterKey key;
    MeterConstant constant;
    std::uint32_t max_kw = 43;
    std::chrono::seconds interval{10};
    BrokerSettings broker;
    GpioSettings gpio;
    SimulationSettings simulation;
    std::optional<ClassicTopics> classic; // nothing: the sealed wire. Else `key` is a Fernet key, both ways
};

// Whose a state folder is: a meter's on its wire.
[[nodiscard]] std::string owner_text(const MeterSettings& settings);

// Throws UsageError that names file, line and key.
[[nodiscard]] MeterSettings read_meter_settings(const std::filesystem::path& path);
[[nodiscard]] MeterSettings parse_meter_settings(std::string_view text, const std::filesystem::path& name);

} // namespace pulsemeter
