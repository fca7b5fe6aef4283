// What a row of the ledger holds of a reading beside its key, packed into some 14 bytes, so that a year of readings every
// 10 s fits in 100 MB. A value and its bytes, without I/O.
//
//   flags      1 byte: 128 discarded, 64 the uptime is a number, 16 × the source, 8 clock synchronised, 4 received before
//              it was measured (by clocks that differ), 2 what is rare follows, 1 power follows
//   total, boot            numbers
//   uptime                 4 bytes, big-endian: ms, up to 49 days; a number with flag 64
//   delay and drift        a number: 16 × the delay without its sign + the drift + 8, if that is −8 … 6; else + 15, and
//                          the drift follows, a number 2n or, if negative, −2n − 1 (ZigZag)
//   what is rare           1 byte: 1 accepted by the operator, 2 retained; then glitches, missed edges, uncertain, events
//   power                  the rest, big-endian without leading zeros
//
// A number has 7 bits a byte, the lowest first, 128 added where another byte follows (as in Protocol Buffers). Each is as
// short as it can be, so that a reading packs in one way only.
#pragma once

#include "server/ledger_reading.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pulsemeter {

inline constexpr std::int64_t longest_delay = 253'402'300'800'000; // 1970 … 9999

struct PackedReading {
    Pulses total;
    std::uint64_t boot = 0; // the ledger's own number of it, at most 2^63−1
    Uptime uptime{};
    std::int64_t drift = 0; // ms; how far the measurement is from where the boot's uptime lets expect it
    std::int64_t delay = 0; // ms; from the measurement to the receipt, −longest_delay … longest_delay
    Clock clock = Clock::unsynchronised;
    Source source = Source::simulated;
    Standing standing = Standing::admitted;
    Delivery delivery = Delivery::live;
    Quality quality;
    std::uint32_t events = 0;
    std::optional<Milliwatts> power;
    auto operator<=>(const PackedReading&) const = default;
};

[[nodiscard]] std::vector<std::uint8_t> pack(const PackedReading& reading);
[[nodiscard]] std::optional<PackedReading>
unpack(std::span<const std::uint8_t> bytes); // nothing: no reading packs so

} // namespace pulsemeter
