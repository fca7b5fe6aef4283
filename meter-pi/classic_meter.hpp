// The meter's loop on the classic wire, beside Meter: the total is on disk before it is published, retained, as one
// Fernet token; a confirmation makes it go on. The total is saved once a pause, whatever the loop's pace is, and what is
// sent is what was saved. There is no outbox: a total heals what was lost, an interval that was lost stays lost. A
// failing disk or broker never ends it: it goes on counting, says what is wrong once, and heals by itself. Never waits
// and asks no clock but for what a reading says: the caller does, a turn at a time.
#pragma once

#include "meter-pi/classic_uplink.hpp"
#include "meter-pi/meter.hpp"
#include "meter-pi/silence_watch.hpp"
#include "shared/classic_codec.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace pulsemeter {

class ClassicMeter {
public:
    static constexpr std::size_t longest_payload = 1024; // a total's token has 120 characters at most

    // `clear_command`: for people, what clears the up topic. `pause`: between a confirmation and the next reading, and
    // between two savings of the total.
    ClassicMeter(const MeterId& id, const crypto::FernetKey& key, const ClassicTopics& topics,
                 std::string clear_command, std::chrono::seconds pause, const StoredRegister& stored,
                 Meter::Parts parts, std::uint64_t seed);

    // Answers when the next turn is due, if nothing wakes the caller before.
    [[nodiscard]] SteadyTime turn(SteadyTime now);
    void finish(SteadyTime now); // stores and sends a last reading

    [[nodiscard]] const std::string& condition() const
    {
        return condition_;
    } // in words, as of the last saving

private:
    // The last one saves the newest confirmation even without a new total.
    enum class Saving : std::uint8_t { one_of_many, last };

    void take_in_bus_events(SteadyTime now);
    void take_in(const Received& received, SteadyTime now);
    void take_in_up(const Received& received, SteadyTime now);
    void take_in_answer(const Received& received, SteadyTime now);
    [[nodiscard]] std::optional<Pulses> opened(const Received& received, SteadyTime now);
    void leave_what_is_foreign(SteadyTime now);
    [[nodiscard]] SteadyTime save_due() const;
    void save(Saving saving, SteadyTime now);
    [[nodiscard]] bool may_be_sent() const; // what was saved
    void send_reading(SteadyTime now);
    void complain(const std::string& what, SteadyTime now);

    MeterId id_;
    crypto::Fernet fernet_;
    ClassicTopics topics_;
    std::string clear_command_;
    std::chrono::seconds pause_;
    Meter::Parts parts_;
    ClassicRegister register_;
    ClassicUplink uplink_;
    SilenceWatch silence_;

    StoredRegister saved_; // as the disk has it
    std::optional<std::string> confirmation_token_;
    std::optional<Milliwatts> power_;
    bool connected_ = false;
    bool retained_is_foreign_ = false; // sending would write over what someone else has kept there
    bool was_foreign_ = false;         // when the connection was lost
    std::string last_complaint_;
    std::string condition_;
    SteadyTime next_save_{}; // at once
    std::optional<SteadyTime> complained_at_;
};

} // namespace pulsemeter
