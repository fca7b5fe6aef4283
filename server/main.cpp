#include "server/commands/commands.hpp"
#include "shared/log.hpp"

namespace pulsemeter {
namespace {

constexpr const char* description =
    "Takes the sealed readings of electricity meters from an MQTT broker, keeps them in a ledger and "
    "confirms each.\n"
    "Start with:  meter-server init, then meter-server meter add ID --out FILE, then meter-server run.";

ExitCode main_of_server(int argc, char** argv)
{
    Program program("meter-server", description, "meter-server " PULSEMETER_VERSION);

    add_init(program);
    Command meter = program.add_group("meter", "Add, list and remove meters");
    add_meter_add(meter);
    add_meter_list(meter);
    add_meter_remove(meter);
    add_meter_restore_total(meter);
    add_run(program);
    add_status(program);
    add_readings(program);
    add_events(program);
    add_held(program);
    add_verify(program);
    add_backup(program);
    add_restore(program);
    Command broker = program.add_group("broker", "Ask the broker how it is, and listen to what passes");
    add_broker_status(broker);
    add_broker_listen(broker);

    return program.run(argc, argv);
}

} // namespace
} // namespace pulsemeter

int main(int argc, char** argv)
{
    pulsemeter::log::set_up("meter-server");
    return pulsemeter::run_program([&] { return pulsemeter::main_of_server(argc, argv); });
}
