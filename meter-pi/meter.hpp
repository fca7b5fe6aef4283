// The meter's loop: what was counted becomes a reading on disk, then a sealed message, until the server
// confirms it. Owns all state but the counting thread's. A failing disk or broker never ends it: it goes on
// counting, says what is wrong once, and heals by itself.
#pragma once

#include "meter-pi/edge_reader.hpp"
#include "meter-pi/energy_register.hpp"
#include "meter-pi/meter_store.hpp"
#include "meter-pi/uplink.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/crypto/meter_keys.hpp"
#include "shared/event_loop.hpp"
#include "shared/message_bus.hpp"
#include "shared/service_manager.hpp"
#include "shared/watchdog.hpp"

#include <chrono>
#include <deque>
#include <optional>
#include <string>

namespace pulsemeter {

class Meter {
public:
    struct Parts {
        EdgeReader& reader;
        MeterStore& store;
        MessageBus& bus;
        EventLoop& loop;
        ServiceManager& service;
    };

    // `stored` is in the store. May throw what the store throws.
    Meter(const MeterId& id, const crypto::MeterKeys& keys, std::chrono::seconds interval,
          const StoredRegister& stored, Parts parts, const Nonce& nonce, std::uint64_t seed);

    void run(); // until the loop is asked to stop; then takes and stores a last reading

private:
    void take_in_bus_events();
    void take_in_token(const Received& received);
    void take_greeting(const State& state);
    void take_reading();
    void renew_register(const Tally& tally);
    void commit_reading(const ReadingFacts& facts);
    void save_total();
    [[nodiscard]] StoreChange change(const StoredRegister& stored) const;
    void settle(std::size_t thinned);
    void feed_uplink();
    void send_messages();
    void trouble(const std::string& what);
    [[nodiscard]] std::string condition(const Tally& tally) const;
    [[nodiscard]] ReadingFacts facts(const Tally& tally);

    MeterId id_;
    crypto::MeterKeys keys_;
    crypto::Fernet seal_;
    crypto::Fernet open_;
    std::chrono::seconds interval_;
    Parts parts_;
    EnergyRegister register_;
    Uplink uplink_;
    Watchdog watchdog_;

    StoredRegister saved_; // as the disk has it
    std::string saved_condition_;
    std::deque<Uplink::Send> unsent_; // the bus was busy
    std::optional<std::string> confirmation_token_;
    std::string condition_;
    std::string disk_trouble_; // empty: the disk takes what it is given
    bool connected_ = false;
    std::uint32_t events_ = 0;                              // since the last stored reading
    std::optional<std::chrono::milliseconds> clock_offset_; // wall time less uptime, to notice a step
    std::optional<SteadyTime> told_of_disk_;
    std::optional<SteadyTime> told_of_broker_;
};

} // namespace pulsemeter
