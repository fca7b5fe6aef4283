// The meter's loop: what was counted becomes a reading on disk, then a sealed message, until the server
// confirms it. Owns all state but the counting thread's. A failing disk or broker never ends it: it goes on
// counting, says what is wrong once, and heals by itself. Never waits and asks no clock but for what a reading
// says: the caller does, a turn at a time. Keeps references to what it is given.
#pragma once

#include "meter-pi/edge_reader.hpp"
#include "meter-pi/energy_register.hpp"
#include "meter-pi/meter_store.hpp"
#include "meter-pi/silence_watch.hpp"
#include "meter-pi/uplink.hpp"
#include "shared/crypto/fernet.hpp"
#include "shared/crypto/meter_keys.hpp"
#include "shared/message_bus.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

namespace pulsemeter {

class Meter {
public:
    struct Parts {
        std::function<Tally()> tally;
        std::function<ReadingFacts()> facts; // time, clock, boot and uptime
        MeterStore& store;
        MessageBus& bus;
    };

    // `stored` is in the store. May throw what the store throws.
    Meter(const MeterId& id, const crypto::MeterKeys& keys, std::chrono::seconds interval,
          const StoredRegister& stored, Parts parts, const Nonce& nonce, std::uint64_t seed);

    // Answers when the next turn is due, if nothing wakes the caller before.
    [[nodiscard]] SteadyTime turn(SteadyTime now);
    void finish(SteadyTime now); // takes, stores and sends a last reading

    [[nodiscard]] const std::string& condition() const
    {
        return condition_;
    } // in words, as of the last reading

    struct Queues {
        std::size_t in_flight = 0;
        std::size_t unsent = 0;
        std::size_t to_be_settled = 0; // confirmed or refused, and not on disk yet
    };
    static constexpr Queues most = {.in_flight = SendWindow::widest,
                                    .unsent = 2 * SendWindow::widest,
                                    .to_be_settled = 2 * Uplink::most_confirmed};
    [[nodiscard]] Queues queues() const
    {
        return {uplink_.in_flight(), unsent_.size(), uplink_.confirmed().size() + uplink_.refused().size()};
    }

private:
    void take_in_bus_events(SteadyTime now);
    void take_in_token(const Received& received, SteadyTime now);
    void take_greeting(const State& state, SteadyTime now);
    void take_reading(SteadyTime now);
    void renew_register(const Tally& tally, const ReadingFacts& at, SteadyTime now);
    void commit_reading(const ReadingFacts& facts, SteadyTime now);
    void save_total();
    [[nodiscard]] StoreChange change(const StoredRegister& stored) const;
    void forget_confirmed(SteadyTime now);
    void settle(std::size_t thinned);
    void feed_uplink(SteadyTime now);
    void send_messages(SteadyTime now);
    void trouble(const std::string& what, SteadyTime now);
    [[nodiscard]] std::string condition_of(const Tally& tally, SteadyTime now) const;
    [[nodiscard]] ReadingFacts facts(const Tally& tally, ReadingFacts facts);

    MeterId id_;
    crypto::MeterKeys keys_;
    crypto::Fernet seal_;
    crypto::Fernet open_;
    std::chrono::seconds interval_;
    Parts parts_;
    EnergyRegister register_;
    Uplink uplink_;
    SilenceWatch silence_;

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
    SteadyTime contested_until_ = SteadyTime::min(); // as the condition shows it
    std::optional<SteadyTime> next_reading_;
};

} // namespace pulsemeter
