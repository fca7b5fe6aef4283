// The subcommands of meter-pi, one file each: each function adds its subcommand to the parser.
#pragma once

#include "shared/command_line.hpp"

namespace pulsemeter {

void add_doctor(CLI::App& parent, Action& action);
void add_probe(CLI::App& parent, Action& action);
void add_record(CLI::App& parent, Action& action);
void add_register(CLI::App& parent, Action& action);
void add_run(CLI::App& parent, Action& action);
void add_status(CLI::App& parent, Action& action);

} // namespace pulsemeter
