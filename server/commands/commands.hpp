// The subcommands of meter-server, one file each: each function adds its subcommand to `parent`.
#pragma once

#include "shared/command_line.hpp"

namespace pulsemeter {

void add_init(Command& parent);
void add_meter_add(Command& parent);
void add_meter_list(Command& parent);
void add_meter_remove(Command& parent);
void add_meter_restore_total(Command& parent);
void add_run(Command& parent);
void add_status(Command& parent);
void add_readings(Command& parent);
void add_events(Command& parent);
void add_held(Command& parent);
void add_broker_status(Command& parent);
void add_broker_listen(Command& parent);
void add_verify(Command& parent);
void add_backup(Command& parent);
void add_restore(Command& parent);

} // namespace pulsemeter
