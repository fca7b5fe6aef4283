// Sans-I/O: the meter's side of the classic wire (shared/PROTOCOL.md, "The classic wire"). Events and the time go in;
// when the next reading is to be made, and what it may not be below, comes out. It first listens for what the broker
// keeps and the server says; then one reading is out at a time: a confirmation of the newest one lets the next be
// made after a pause, whatever else arrives changes nothing, so that no loop ever runs beside another. One thread.
#pragma once

#include "meter-pi/classic_register.hpp"
#include "meter-pi/uplink.hpp"

#include <chrono>
#include <cstdint>

namespace pulsemeter {

class ClassicUplink {
public:
    static constexpr std::chrono::seconds listening{5}; // after the subscriptions
    static constexpr std::chrono::seconds first_resend{10};
    static constexpr std::chrono::seconds slowest_resend{60};
    static constexpr std::chrono::seconds disk_retry{5};

    enum class Answer : std::uint8_t {
        noted,     // while listening
        confirmed, // the newest reading: the next one is made after the pause
        raised,    // the server knows more than a register that it has not confirmed yet: go on from there
        stale,     // of an older reading, or once more
        beyond     // more than was ever sent: someone else sends, too
    };

    ClassicUplink(std::chrono::milliseconds pause, std::uint64_t seed);

    // Events. Totals are at most ClassicRegister::most_believed.
    void connected(SteadyTime now);
    void disconnected();
    void retained(Pulses total);  // the reading that the broker keeps
    void put_right(Pulses total); // … in the place of one that could not be read
    [[nodiscard]] Answer answered(Pulses total, SteadyTime now);
    void sent(Pulses total, SteadyTime now); // committed before, and retained by the broker
    void postpone(SteadyTime now);           // it could not be stored

    // What is to be done.
    [[nodiscard]] bool reading_due(SteadyTime now) const { return connected_ && due_ <= now; }
    [[nodiscard]] Pulses heard() const { return heard_; } // the reading may not be below it
    [[nodiscard]] bool confirmed_once() const { return confirmed_once_; }
    [[nodiscard]] SteadyTime next_deadline() const { return connected_ ? due_ : SteadyTime::max(); }

private:
    enum class Phase : std::uint8_t { listening, awaiting, pausing };

    std::chrono::milliseconds pause_;
    Backoff resend_;
    bool connected_ = false;
    bool confirmed_once_ = false;
    Phase phase_ = Phase::listening;
    SteadyTime due_ = SteadyTime::max();
    Pulses heard_;
    Pulses newest_;
};

} // namespace pulsemeter
