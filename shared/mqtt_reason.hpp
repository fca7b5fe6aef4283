// Why a broker said no, for people: what it said, and what to do about it where there is something to do.
#pragma once

#include "shared/broker_settings.hpp"

#include <string>

namespace pulsemeter {

// The code of a CONNACK (3.1.1: 1 to 5, 5: from 128), of a SUBACK or of the broker's DISCONNECT.
[[nodiscard]] std::string mqtt_reason(int code, MqttVersion version);

} // namespace pulsemeter
