// Pure: the meter's cumulative total, which only grows, and the numbers given out for it (epoch, sequence).
// What is durable is StoredRegister; the pulses counted since the program's start are added to it here.
// Nothing is numbered before the server has answered the Hello (greet()), and a number is used up only by
// taken(), once the reading lies safely on disk: a failed commit leaves the register as it was.
#pragma once

#include "shared/reading.hpp"

#include <tl/expected.hpp>

#include <algorithm>
#include <optional>

namespace pulsemeter {

// What `register set` has asked for: the next greeting ends the epoch, and begins another one from these. Until then
// pulses are counted here.
struct Renewal {
    MilliwattHours start;
    MeterConstant constant;
    Pulses total;             // counted since the register was set
    std::uint32_t events = 0; // bits that the first reading of the new epoch carries
    auto operator<=>(const Renewal&) const = default;
};

// What a disk keeps of a register. Simulated and measured registers are separate, each with a row of its own.
struct StoredRegister {
    Source source = Source::simulated;
    Epoch epoch;     // 0: never greeted, nothing numbered yet
    Sequence last;   // the last number given out, 0 = none
    Pulses total;    // in epoch 0: all that was counted before the first greeting
    Pulses numbered; // the total of reading `last`
    MeterConstant constant;
    MilliwattHours start;
    Quality quality; // since the epoch began
    std::optional<Renewal> renewal;
    auto operator<=>(const StoredRegister&) const = default;
};

// Counts that stop at 2^32−1 instead of wrapping.
[[nodiscard]] Quality sum(const Quality& a, const Quality& b);
// What a register shows: of the new epoch if it was set and is not greeted yet.
struct RegisterValue {
    MilliwattHours start;
    Pulses total;
    MeterConstant constant;
};
[[nodiscard]] RegisterValue value_of(const StoredRegister& stored);
[[nodiscard]] MilliwattHours energy(const RegisterValue& value); // rounded down, at most the largest

enum class MeterChange : std::uint8_t { same_meter, another_meter };

enum class SetError : std::uint8_t {
    set_before, // and pulses were counted since, that no server knows of: they would be lost
};

// The register with a renewal: `display` is what the meter's own display shows now.
[[nodiscard]] tl::expected<StoredRegister, SetError> set_register(const StoredRegister& stored,
                                                                  MilliwattHours display,
                                                                  MeterConstant constant, MeterChange change);

// What a reading says besides the register.
struct ReadingFacts {
    WallTime measured_at{};
    Clock clock = Clock::unsynchronised;
    BootId boot{};
    Uptime uptime{};
    std::uint32_t events = 0;
    std::optional<Milliwatts> power;
};

enum class Greeting : std::uint8_t {
    continued,       // the server knows less or the same: the next number is last + 1
    first_epoch,     // nobody knows this register: it starts at what was counted
    recovered,       // no register here: the server's total, epoch + 1
    server_was_ahead // an old disk image or a clone: the larger total and this life's pulses, epoch + 1
};

class EnergyRegister {
public:
    // `highest_epoch`: the highest one that was ever given out beside this disk, whoever's it is.
    explicit EnergyRegister(const StoredRegister& stored, Epoch highest_epoch = {})
        : base_(stored),
          now_(stored),
          highest_epoch_(std::max(highest_epoch, stored.epoch)),
          epoch_base_(stored.numbered)
    {
    }

    // The tally since the program's start; may not fall (ENSURE).
    void count(std::uint64_t pulses, const Quality& quality);

    [[nodiscard]] Hello hello(const Nonce& nonce, const BootId& boot) const;

    // Takes in the server's answer (PROTOCOL.md, "Start"). Once.
    Greeting greet(const State& state);
    [[nodiscard]] bool greeted() const { return greeted_; }

    // A register that was set goes on in its old epoch until all that was counted before is numbered there; then
    // renewal_due(), and renew() begins the new one.
    [[nodiscard]] bool renewal_due() const;
    void renew();

    // The next reading, without using its number up. The first of an epoch carries the total the epoch starts
    // from, whatever was counted since; the next one follows at once. Only after greet().
    [[nodiscard]] Reading draft(const ReadingFacts& facts) const;
    // The register as it is on disk together with `reading` (a draft).
    [[nodiscard]] StoredRegister stored_with(const Reading& reading) const;
    void taken(const Reading& reading);

    [[nodiscard]] const StoredRegister& stored() const { return now_; } // for saving the total alone
    [[nodiscard]] bool at_epoch_start() const { return greeted_ && now_.last.value == 0; }

private:
    void begin_epoch(Epoch epoch, Pulses base, Pulses total, MilliwattHours start);
    // The pulses since the program's start that belong to the epoch: none of them once the register was set.
    [[nodiscard]] std::uint64_t counted_in_epoch() const { return now_.renewal ? 0 : counted_; }

    StoredRegister base_; // the register without the pulses of `counted_`
    StoredRegister now_;
    Epoch highest_epoch_;
    Pulses epoch_base_; // the total that the newest epoch starts from, until its first reading
    std::uint64_t counted_ = 0;
    Quality counted_quality_;
    bool greeted_ = false;
};

} // namespace pulsemeter
