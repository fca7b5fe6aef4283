// Meters, a broker that is an adversary, and a server, under one seed: machines run as their deadlines and messages want
// it, and between any two turns anything may happen to them. Everything that must hold is checked by Witness while it
// happens; at the end the world turns honest, and then all must become equal by itself, but for what the operator has
// to decide. The same seed is the same world.
#pragma once

#include "tests/sim/machines.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter::sim {

class World {
public:
    // `tell`: a line for each thing that happens.
    World(std::uint64_t seed, const std::filesystem::path& folder,
          std::function<void(const std::string&)> tell);
    ~World();

    void suffer(std::uint64_t actions); // each drawn by the seed. Throws Violation.
    void become_honest();               // until all is equal. Throws Violation if that takes too long.

    struct Sums {
        std::map<std::string_view, std::uint64_t> actions;
        std::uint64_t readings_made = 0;
        std::uint64_t readings_counted = 0;
        std::chrono::milliseconds longest_healing{}; // until the totals were equal, nothing being held
    };
    void add_to(Sums& sums) const;

private:
    struct Action {
        std::string_view name;
        std::uint64_t weight;
        void (World::*act)();
    };
    enum class Kind : std::uint8_t { usual, adverse };
    void add(std::string_view name, Kind kind, std::uint64_t weight, void (World::*act)());
    void step();
    void settle(); // what lost its power is off from now on
    void tell(std::string_view what, const Machine& machine);

    // What happens.
    void turn();
    void pass();
    void deliver();
    void drop();
    void duplicate();
    void reorder();
    void replay();
    void swap();
    void corrupt();
    void junk();
    void clear_retained();
    void replace_retained();
    void amnesia();
    void disconnect();
    void stop_broker();
    void start_broker();
    void power_up();
    void cut();
    void kill();
    void fail_disk();
    void heal_disk();
    void step_clock();
    void take_image();
    void put_image_back();
    void rewind();
    void say_falling_total();
    void lose_store();
    void restore_server();
    void fit_sensor();
    void operate();
    void burst();

    void pass_time(std::chrono::milliseconds time);
    void run_due_machine();
    void deliver_parcel(std::size_t place);
    void power_off(Machine& machine);
    [[nodiscard]] Machine& any_machine();
    [[nodiscard]] MeterMachine& any_meter() { return *meters_[dice_.index(meters_.size())]; }
    [[nodiscard]] std::vector<Machine*> machines();
    [[nodiscard]] std::string any_topic();

    [[nodiscard]] std::string differences(); // empty: all is equal
    [[nodiscard]] bool totals_are_equal();
    [[nodiscard]] bool anything_is_held();
    void repair_everything();
    enum class Help : std::uint8_t { resolve, resolve_and_restart };
    void help_out(Help help); // what an operator would do

    Dice dice_;
    std::filesystem::path folder_;
    std::function<void(const std::string&)> tell_;
    Clocks clocks_;
    Broker broker_;
    Witness witness_;
    std::vector<std::unique_ptr<MeterMachine>> meters_;
    std::unique_ptr<ServerMachine> server_;
    std::map<Machine*, Image> images_;
    std::map<Machine*, std::chrono::steady_clock::time_point> restart_at_;
    std::uint64_t pulses_a_second_ = 1;

    std::vector<Action> actions_;
    std::uint64_t weights_ = 0;
    std::uint64_t totals_checked_at_ = 0;
    std::map<std::string_view, std::uint64_t> done_;
    std::chrono::milliseconds healing_{};
};

} // namespace pulsemeter::sim
