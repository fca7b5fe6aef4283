#include "shared/command_line.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

namespace pulsemeter {
namespace {

// What the parser would spread over lines, in one.
std::string one_line(std::string text)
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

} // namespace

void flush_output()
{
    int error = std::ferror(stdout) != 0 ? EIO : 0; // of an earlier write
    if (std::fflush(stdout) != 0)
        error = errno;
    if (error != 0)
        throw std::system_error(error, std::generic_category(), "writing to standard output");
}

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
    const ExitCode code = action();
    flush_output(); // a script must not take half an answer for a whole one
    return code;
}

} // namespace pulsemeter
