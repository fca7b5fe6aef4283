#include "shared/command_line.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string>

namespace pulsemeter {
namespace {

// What the parser would spread over lines, in one.
std::string one_line(std::string text)
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

} // namespace

ExitCode run_command_line(CLI::App& program, const Action& action, int argc, char** argv)
{
    program.require_subcommand(1);
    try {
        program.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
        program.exit(help_or_version);
        return ExitCode::done;
    } catch (const CLI::ParseError& error) {
        const auto unknown = program.remaining(true);
        const std::string what = unknown.empty() ? error.what() : "unknown: " + unknown.front();
        throw UsageError(one_line(what) + " (see " + program.get_name() + " --help)");
    }
    return action();
}

} // namespace pulsemeter
