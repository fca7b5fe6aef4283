// The words that both programs speak: a meter's identity, its register, its readings, and the five messages.
// Plain values: copyable, comparable, without I/O, time or randomness. Units are in the types or the names.
// Every range that is stated here holds for a decoded message (reading_codec.hpp enforces it).
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace pulsemeter {

// The largest total, sequence or start value: what a signed 64-bit database column holds.
inline constexpr std::uint64_t largest_integer = INT64_MAX;

// Pulses of the meter's LED, cumulative or a difference. 0 … 2^63−1.
struct Pulses {
    std::uint64_t value = 0;
    auto operator<=>(const Pulses&) const = default;
};

// One life of a register, 1 … 2^32−1; 0 stands for "none yet" in Hello and State only.
struct Epoch {
    std::uint32_t value = 0;
    auto operator<=>(const Epoch&) const = default;
};

// A reading's number within its epoch (DLMS: invocation counter), 1 … 2^63−1; 0 stands for "none yet".
// Sequence 1 carries the total that the epoch starts from, so that consumption is exact from the first pulse.
struct Sequence {
    std::uint64_t value = 0;
    auto operator<=>(const Sequence&) const = default;
};

// LED impulses a kWh as printed on the meter's plate, 1 … 1,000,000.
struct MeterConstant {
    std::uint32_t imp_per_kwh = 1000;
    auto operator<=>(const MeterConstant&) const = default;
};
inline constexpr std::uint32_t largest_imp_per_kwh = 1'000'000;

// Energy in mWh: the register's start value (what the meter's own display said at total 0). 0 … 2^63−1.
struct MilliwattHours {
    std::uint64_t value = 0;
    auto operator<=>(const MilliwattHours&) const = default;
};

// Power in mW, 0 … 2^32−2 (4.29 MW).
struct Milliwatts {
    std::uint32_t value = 0;
    auto operator<=>(const Milliwatts&) const = default;
};

using WallTime = std::chrono::sys_time<std::chrono::milliseconds>; // 1970 … 9999
using Uptime = std::chrono::milliseconds;                          // since the kernel's boot, never negative
using BootId = std::array<std::uint8_t, 16>;                       // the kernel's random boot_id
using Nonce = std::array<std::uint8_t, 16>;

// `unstated` never stands in a message of the sealed wire: the classic wire does not say which.
enum class Source : std::uint8_t { measured = 1, simulated = 2, unstated = 3 };
[[nodiscard]] std::string_view text(Source source);
enum class Clock : std::uint8_t { unsynchronised = 0, synchronised = 1 };

// How sure the count is; cumulative since the epoch began, each stops at 2^32−1.
struct Quality {
    std::uint32_t glitches = 0;     // active for too short a time to be a pulse, not counted
    std::uint32_t missed_edges = 0; // edges the kernel dropped, healed by the line's sequence number
    std::uint32_t uncertain = 0;    // pulses among those that noise could have faked
    auto operator<=>(const Quality&) const = default;
};

// Events since the last reading, as bits of Reading::events. Unknown bits are kept and shown as numbers.
enum class MeterEvent : std::uint32_t {
    started = 1U << 0,              // first reading after the program's start
    register_recovered = 1U << 1,   // no register on disk, the server's total was taken
    server_was_ahead = 1U << 2,     // an old disk image or a clone: a new epoch was begun
    became_measured = 1U << 3,      // first hardware pulse source after simulation
    disk_trouble = 1U << 4,         // a reading could not be stored for a while
    sensor_missing = 1U << 5,       // the GPIO line was gone for a while
    outbox_thinned = 1U << 6,       // old intermediate readings were dropped
    clock_stepped = 1U << 7,        // wall time jumped against the uptime
    register_set = 1U << 8,         // an operator set the start value: a new epoch was begun …
    meter_swapped = 1U << 9,        // … because another meter was put in its place
    constant_changed = 1U << 10,    // … with another imp_per_kwh
    client_id_contested = 1U << 11, // another program comes with the meter's client id, for all it knows
};

// A meter's name, [a-z0-9-]{1,32}.
class MeterId {
public:
    static constexpr std::size_t longest = 32;
    [[nodiscard]] static std::optional<MeterId> parse(std::string_view text);
    [[nodiscard]] const std::string& text() const { return text_; }
    auto operator<=>(const MeterId&) const = default;

private:
    explicit MeterId(std::string_view text) : text_(text) {}
    std::string text_;
};

struct Reading {
    Epoch epoch;
    Sequence sequence;
    Pulses total; // the register: cumulative, never falls within an epoch
    MeterConstant constant;
    MilliwattHours start;
    WallTime measured_at{};
    Clock clock = Clock::unsynchronised;
    BootId boot{};
    Uptime uptime{};
    Source source = Source::simulated;
    Quality quality;
    std::uint32_t events = 0;
    std::optional<Milliwatts> power;
    auto operator<=>(const Reading&) const = default;
};

// "Here I am, and this is my register": at every start until a State with the same nonce answers.
struct Hello {
    Nonce nonce{};
    Epoch epoch;       // 0 with has_register false
    Sequence sequence; // the last number given out in that epoch, 0 = none
    Pulses total;
    bool has_register = false;
    Source source = Source::simulated; // which of the two separate registers this is
    BootId boot{};
    auto operator<=>(const Hello&) const = default;
};

// The server's answer: what it knows of the register of that source.
struct State {
    Nonce nonce{};       // of the Hello that it answers
    Epoch highest_epoch; // over both sources; 0 = the server knows nothing of this meter
    Epoch epoch;         // the newest epoch of the asked source, 0 = none
    Sequence sequence;   // the newest reading in that epoch …
    Pulses total;        // … its total …
    MeterConstant constant{0};
    MilliwattHours start; // … and what is fixed within the epoch; all zero with epoch 0
    auto operator<=>(const State&) const = default;
};

// Every sequence first … last of that epoch is in the server's ledger for good.
struct Confirmation {
    Epoch epoch;
    Sequence first;
    Sequence last;
    auto operator<=>(const Confirmation&) const = default;
};

enum class RefusalReason : std::uint8_t {
    total_fell = 1,       // below an earlier reading's total of the same epoch
    total_jumped = 2,     // above a later reading's total of the same epoch
    implausible_rate = 3, // faster than --max-kw allows
    constant_changed = 4, // imp_per_kwh, start value or source differ within the epoch
    conflict = 5,         // that (epoch, sequence) is taken by other content
};
[[nodiscard]] std::string_view text(RefusalReason reason); // "total fell", for people

struct Refused {
    Epoch epoch;
    Sequence sequence;
    RefusalReason reason = RefusalReason::total_fell;
    auto operator<=>(const Refused&) const = default;
};

using UpMessage = std::variant<Hello, Reading>;
using DownMessage = std::variant<State, Confirmation, Refused>;

} // namespace pulsemeter
