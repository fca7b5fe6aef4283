#include "meter-pi/commands/commands.hpp"
#include "meter-pi/sources.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr const char* description =
    "Counts the blinks of an electricity meter's LED and sends each total, sealed, to meter-server.\n"
    "Start with the file that meter-server meter add wrote:  meter-pi run --config FILE";

ExitCode main_of_meter(int argc, char** argv)
{
    Program program("meter-pi", description,
                    fmt::format("meter-pi {} ({})", PULSEMETER_VERSION, gpio_support()));

    add_run(program);
    add_status(program);
    add_doctor(program);
    add_probe(program);
    add_record(program);
    add_register(program);

    return program.run(argc, argv);
}

} // namespace
} // namespace pulsemeter

int main(int argc, char** argv)
{
    pulsemeter::log::set_up("meter-pi");
    return pulsemeter::run_program([&] { return pulsemeter::main_of_meter(argc, argv); });
}
