// Pure: commands that a person is told to paste into a shell, right as they are printed.
#pragma once

#include "shared/broker_settings.hpp"

#include <string>
#include <string_view>

namespace pulsemeter {

// One word to a shell, whatever is in it: "'it'\\''s'".
[[nodiscard]] std::string shell_word(std::string_view text);

// Clears what the broker keeps on a topic: "mosquitto_pub -h broker.example -p 1883 -t 'UNITS1221' -r -n". It names the
// broker and what it wants as the settings do; a password goes from its file into no command line.
[[nodiscard]] std::string clearing_command(const BrokerSettings& broker, const std::string& topic);

} // namespace pulsemeter
