// The files that [broker] names. They are read anew at every attempt to connect, so that a renewed certificate or a
// corrected password needs no restart. Each failure is a UsageError that names the key, the file and the remedy; a
// password is never in it.
#pragma once

#include "shared/broker_settings.hpp"

#include <string>

namespace pulsemeter {

// What can be found out without a broker: all are there, private where they must be, of the right kind, and the
// client's key belongs to its certificate.
void check_broker_files(const BrokerSettings& settings);

// One line end at the file's end is dropped. Empty if there is no password_file.
[[nodiscard]] std::string read_broker_password(const BrokerSettings& settings);

} // namespace pulsemeter
