// What the command lines of both programs have in common. A subcommand, when it is chosen, leaves its work in an Action,
// so that parsing is over (and its errors are told) before anything is done.
#pragma once

#include "shared/errors.hpp"

#include <functional>

namespace CLI {
class App;
}

namespace pulsemeter {

using Action = std::function<ExitCode()>;

// Parses, shows --help or --version, or does `action`, which the chosen subcommand of `program` has set. Throws
// UsageError, one line that ends with where to look, and std::system_error if standard output did not take everything.
[[nodiscard]] ExitCode run_command_line(CLI::App& program, const Action& action, int argc, char** argv);

// Throws std::system_error if standard output has not taken all that was written to it.
void flush_output();

} // namespace pulsemeter
