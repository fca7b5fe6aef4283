// The subcommands of meter-pi, one file each. Each function adds its subcommand to the parser; when that one
// is chosen, its work is left in `action`, so that parsing is over (and its errors are told) before anything
// is done.
#pragma once

#include "shared/errors.hpp"

#include <functional>

namespace CLI {
class App;
}

namespace pulsemeter {

using Action = std::function<ExitCode()>;

void add_doctor(CLI::App& parent, Action& action);
void add_probe(CLI::App& parent, Action& action);
void add_record(CLI::App& parent, Action& action);
void add_register(CLI::App& parent, Action& action);
void add_run(CLI::App& parent, Action& action);
void add_status(CLI::App& parent, Action& action);

} // namespace pulsemeter
