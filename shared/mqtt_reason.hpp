// Why a broker said no, for people: what it said, and what to do about it where there is something to do.
#pragma once

#include "shared/broker_settings.hpp"

#include <string>

namespace pulsemeter {

// The code of a CONNACK (3.1.1: 1 to 5, 5: from 128) or of the broker's DISCONNECT.
[[nodiscard]] std::string mqtt_reason(int code, const BrokerSettings& settings);

// Whether such a code says that nobody may ask the broker for such a topic, so that it is in vain to ask again.
[[nodiscard]] bool is_about_the_topic(int code);

// The code of a SUBACK or a PUBACK, which is about one topic.
[[nodiscard]] std::string topic_reason(int code, const BrokerSettings& settings);

} // namespace pulsemeter
