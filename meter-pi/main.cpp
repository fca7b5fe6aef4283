#include "meter-pi/commands/commands.hpp"
#include "meter-pi/sources.hpp"
#include "shared/log.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr const char* description =
    "Counts the blinks of an electricity meter's LED and sends each total, sealed, to meter-server.\n"
    "Start with the file that meter-server meter add wrote:  meter-pi run --config FILE";

ExitCode main_of_meter(int argc, char** argv)
{
    CLI::App program(description, "meter-pi");
    program.set_version_flag("--version",
                             fmt::format("meter-pi {} ({})", PULSEMETER_VERSION, gpio_support()));

    Action action;
    add_run(program, action);
    add_status(program, action);
    add_doctor(program, action);
    add_probe(program, action);
    add_record(program, action);
    add_register(program, action);

    return run_command_line(program, action, argc, argv);
}

} // namespace
} // namespace pulsemeter

int main(int argc, char** argv)
{
    pulsemeter::log::set_up("meter-pi");
    return pulsemeter::run_program([&] { return pulsemeter::main_of_meter(argc, argv); });
}
