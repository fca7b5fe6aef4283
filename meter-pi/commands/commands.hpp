// The subcommands of meter-pi, one file each: each function adds its subcommand to `parent`.
#pragma once

#include "shared/command_line.hpp"

namespace pulsemeter {

void add_doctor(Command& parent);
void add_probe(Command& parent);
void add_record(Command& parent);
void add_register(Command& parent);
void add_run(Command& parent);
void add_status(Command& parent);

} // namespace pulsemeter
