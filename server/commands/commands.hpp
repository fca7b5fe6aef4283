// The subcommands of meter-server, one file each: each function adds its subcommand to the parser.
#pragma once

#include "shared/command_line.hpp"

namespace pulsemeter {

void add_init(CLI::App& parent, Action& action);
void add_meter_add(CLI::App& parent, Action& action);
void add_meter_list(CLI::App& parent, Action& action);
void add_meter_remove(CLI::App& parent, Action& action);
void add_meter_restore_total(CLI::App& parent, Action& action);
void add_run(CLI::App& parent, Action& action);
void add_status(CLI::App& parent, Action& action);
void add_readings(CLI::App& parent, Action& action);
void add_events(CLI::App& parent, Action& action);
void add_held(CLI::App& parent, Action& action);
void add_broker_status(CLI::App& parent, Action& action);
void add_broker_listen(CLI::App& parent, Action& action);
void add_verify(CLI::App& parent, Action& action);
void add_backup(CLI::App& parent, Action& action);
void add_restore(CLI::App& parent, Action& action);

} // namespace pulsemeter
