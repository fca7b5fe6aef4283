// The two programs as they run, without their threads, sockets and clocks: the real Meter and Server over the real
// SQLite stores on a lossy disk of their own. What commands/run.cpp does at a start is done here too. A machine can
// lose its power, its disk, or its program only.
#pragma once

#include "meter-pi/meter.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "server/day_sealer.hpp"
#include "server/server.hpp"
#include "tests/disk/lossy_disk.hpp"
#include "tests/sim/broker.hpp"
#include "tests/sim/dice.hpp"
#include "tests/sim/witness.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace pulsemeter::sim {

// What a machine's clocks say. The steady one is the world's.
struct Clocks {
    SteadyTime now{std::chrono::hours(1)};
    WallTime wall{std::chrono::milliseconds(1'700'000'000'000)};
    void pass(std::chrono::milliseconds time)
    {
        now += time;
        wall += time;
    }
};

using Image = std::map<std::string, std::string>; // file name → bytes

enum class Cut : std::uint8_t { none, before_commit, after_commit };

class Machine {
public:
    Machine(const std::filesystem::path& folder, Clocks& clocks, std::uint64_t seed);
    virtual ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] virtual bool is_within_bounds() const = 0; // in memory

    // A start may fail: then the machine stays as it is and is started again later.
    virtual void start() = 0;
    virtual void turn() = 0;
    [[nodiscard]] virtual bool is_running() const = 0;
    [[nodiscard]] virtual bool is_woken() const = 0;

    void cut_power(PowerLoss loss); // now
    void cut_power_at(std::uint64_t step, PowerLoss loss);
    void cut_power_around_commit(Cut when, PowerLoss loss);
    void kill() { cut_power(PowerLoss::kept); } // the kernel keeps what was written
    void fail_disk(std::uint64_t steps);
    void heal_disk();
    [[nodiscard]] bool is_cut() const { return disk_.is_cut(); }
    void clean_up_after_cut(); // the program is gone, its disk as it was left

    // Of a machine that is off.
    [[nodiscard]] Image image() const;
    void put_back(const Image& image);

    void step_clock(std::chrono::milliseconds offset);
    [[nodiscard]] WallTime wall() const;
    SteadyTime due = SteadyTime::min();

protected:
    virtual void stop_program() = 0;
    void before_commit();
    void after_commit();

    std::filesystem::path folder_;
    Clocks& clocks_;
    Dice dice_;
    LossyDisk disk_;
    std::chrono::milliseconds offset_{};

private:
    Cut cut_ = Cut::none;
    PowerLoss cut_loss_ = PowerLoss::dropped;
};

class MeterMachine : public Machine {
public:
    struct Plan {
        std::chrono::seconds interval{10};
        std::size_t outbox_limit = 1'000;
        enum class Line : std::uint8_t { clean, bouncing, overflowing } line = Line::clean;
    };
    MeterMachine(const MeterId& id, const std::filesystem::path& folder, Clocks& clocks, Broker& broker,
                 Witness& witness, const Plan& plan, std::uint64_t seed);
    ~MeterMachine() override;

    void start() override;
    void turn() override;
    [[nodiscard]] bool is_running() const override { return meter_ != nullptr; }
    [[nodiscard]] bool is_woken() const override { return bus_ && bus_->has_news(); }
    [[nodiscard]] bool is_within_bounds() const override;

    void boot();                      // new boot id, uptime from 0
    void flash(std::uint64_t pulses); // the true meter's LED, whether anyone looks or not
    void fit_sensor() { has_sensor_ = true; }
    void lose_store();
    std::optional<Reading>
    say_falling_total(); // under its next number. Nothing: there is none yet that could fall
    void synchronise(Clock clock) { clock_ = clock; }

    [[nodiscard]] const MeterId& id() const { return id_; }
    [[nodiscard]] const crypto::MeterKeys& keys() const { return keys_; }
    [[nodiscard]] Source source() const { return source_; }
    [[nodiscard]] Bus& bus() { return *bus_; }
    [[nodiscard]] bool has_bus() const { return bus_ != nullptr; }
    [[nodiscard]] SqliteMeterStore& store();

private:
    class Store;
    void stop_program() override;
    [[nodiscard]] Tally tally() const;
    [[nodiscard]] ReadingFacts facts() const;
    [[nodiscard]] bool publishing(const Parcel& parcel);
    void edge(Level level, std::chrono::nanoseconds after);

    MeterId id_;
    crypto::MeterKeys keys_;
    crypto::Fernet reader_; // of what it publishes, for the witness
    Broker& broker_;
    Witness& witness_;
    Plan plan_;
    BootId boot_{};
    SteadyTime booted_at_{};
    Clock clock_ = Clock::synchronised;
    bool has_sensor_ = false;
    Source source_ = Source::simulated;
    std::size_t published_in_turn_ = 0;

    std::optional<PulseCounter> counter_;
    std::vector<Edge> edges_;
    std::chrono::nanoseconds line_time_{1};
    std::uint32_t seqno_ = 1;

    std::unique_ptr<Store> store_;
    std::unique_ptr<Bus> bus_;
    std::unique_ptr<Meter> meter_;
};

class ServerMachine : public Machine {
public:
    ServerMachine(const std::filesystem::path& folder, Clocks& clocks, Broker& broker, Witness& witness,
                  std::vector<ServedMeter> meters, std::uint64_t seed);
    ~ServerMachine() override;

    void start() override;
    void turn() override;
    [[nodiscard]] bool is_running() const override { return server_ != nullptr; }
    [[nodiscard]] bool is_woken() const override { return bus_ && bus_->has_news(); }
    [[nodiscard]] bool is_within_bounds() const override;

    enum class Verdict : std::uint8_t { accept, discard, either };
    void resolve(const HeldReading& held, Verdict verdict);

    [[nodiscard]] SqliteLedger& ledger();
    void check_audit(); // seals all that is over, and proves it
    [[nodiscard]] Bus& bus() { return *bus_; }
    [[nodiscard]] bool has_bus() const { return bus_ != nullptr; }

    Server::Queues most{.waiting = 100, .outgoing = 100}; // small enough to be reached; of the next start

private:
    class WitnessedLedger;
    void stop_program() override;
    [[nodiscard]] bool publishing(const Parcel& parcel);

    Broker& broker_;
    Witness& witness_;
    std::vector<ServedMeter> meters_;
    std::map<std::string, std::pair<MeterId, crypto::Fernet>> readers_; // by down topic, for the witness
    Tariff tariff_ = *Tariff::parse("0.39", "£");

    AuditKey audit_key_;

    std::unique_ptr<WitnessedLedger> ledger_;
    std::unique_ptr<Bus> bus_;
    std::unique_ptr<Server> server_;
    std::unique_ptr<DaySealer> sealer_;
};

} // namespace pulsemeter::sim
