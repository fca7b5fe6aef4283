// The subcommands of meter-server, one file each. Each function adds its subcommand to the parser; when that
// one is chosen, its work is left in `action`, so that parsing is over (and its errors are told) before
// anything is done.
#pragma once

#include "shared/errors.hpp"

#include <functional>

namespace CLI {
class App;
}

namespace pulsemeter {

using Action = std::function<ExitCode()>;

void add_init(CLI::App& parent, Action& action);
void add_meter_add(CLI::App& parent, Action& action);
void add_meter_list(CLI::App& parent, Action& action);
void add_run(CLI::App& parent, Action& action);
void add_status(CLI::App& parent, Action& action);
void add_readings(CLI::App& parent, Action& action);
void add_held(CLI::App& parent, Action& action);
void add_broker_status(CLI::App& parent, Action& action);
void add_broker_listen(CLI::App& parent, Action& action);
void add_verify(CLI::App& parent, Action& action);
void add_backup(CLI::App& parent, Action& action);
void add_restore(CLI::App& parent, Action& action);

} // namespace pulsemeter
