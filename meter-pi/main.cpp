#include "meter-pi/commands/commands.hpp"
#include "meter-pi/sources.hpp"
#include "shared/log.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter {
namespace {

constexpr const char* description =
    "Counts the blinks of an electricity meter's LED and sends each total, sealed, to meter-server.\n"
    "Start with the file that meter-server meter add wrote:  meter-pi run --config FILE";

std::string one_line(std::string text)
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

ExitCode main_of_meter(int argc, char** argv)
{
    CLI::App program(description, "meter-pi");
    program.set_version_flag("--version",
                             fmt::format("meter-pi {} ({})", PULSEMETER_VERSION, gpio_support()));
    program.require_subcommand(1);

    Action action;
    add_run(program, action);
    add_status(program, action);
    add_doctor(program, action);
    add_probe(program, action);
    add_record(program, action);
    add_register(program, action);

    try {
        program.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
        program.exit(help_or_version);
        return ExitCode::done;
    } catch (const CLI::ParseError& error) {
        throw UsageError(one_line(error.what()) + " (see meter-pi --help)");
    }
    return action();
}

} // namespace
} // namespace pulsemeter

int main(int argc, char** argv)
{
    pulsemeter::log::set_up("meter-pi");
    return pulsemeter::run_program([&] { return pulsemeter::main_of_meter(argc, argv); });
}
