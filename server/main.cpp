#include "server/commands/commands.hpp"
#include "shared/log.hpp"

#include <CLI/CLI.hpp>

namespace pulsemeter {
namespace {

constexpr const char* description =
    "Takes the sealed readings of electricity meters from an MQTT broker, keeps them in a ledger and "
    "confirms each.\n"
    "Start with:  meter-server init, then meter-server meter add ID --out FILE, then meter-server run.";

ExitCode main_of_server(int argc, char** argv)
{
    CLI::App program(description, "meter-server");
    program.set_version_flag("--version", "meter-server " PULSEMETER_VERSION);

    Action action;
    add_init(program, action);
    CLI::App* meter = program.add_subcommand("meter", "Add, list and remove meters");
    meter->require_subcommand(1);
    add_meter_add(*meter, action);
    add_meter_list(*meter, action);
    add_meter_remove(*meter, action);
    add_meter_restore_total(*meter, action);
    add_run(program, action);
    add_status(program, action);
    add_readings(program, action);
    add_events(program, action);
    add_held(program, action);
    add_verify(program, action);
    add_backup(program, action);
    add_restore(program, action);
    CLI::App* broker =
        program.add_subcommand("broker", "Ask the broker how it is, and listen to what passes");
    broker->require_subcommand(1);
    add_broker_status(*broker, action);
    add_broker_listen(*broker, action);

    return run_command_line(program, action, argc, argv);
}

} // namespace
} // namespace pulsemeter

int main(int argc, char** argv)
{
    pulsemeter::log::set_up("meter-server");
    return pulsemeter::run_program([&] { return pulsemeter::main_of_server(argc, argv); });
}
