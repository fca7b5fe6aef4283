#include "server/packed_reading.hpp"

#include <cstdlib>

namespace pulsemeter {
namespace {

enum Flag : std::uint8_t {
    power_follows = 1,
    rare_follows = 2,
    delay_is_negative = 4,
    synchronised = 8,
    long_uptime = 64,
    discarded = 128
};
enum Rare : std::uint8_t { overruled = 1, from_retained = 2 };
constexpr unsigned source_shift = 4;
constexpr unsigned source_bits = 3;

constexpr unsigned drift_width = 16;
constexpr std::int64_t lowest_drift = -8;
constexpr std::int64_t highest_drift = 6;
constexpr std::uint64_t drift_follows = drift_width - 1;

constexpr std::uint8_t more_bytes = 0x80;
constexpr unsigned bits_a_byte = 7;

std::uint64_t zigzag(std::int64_t value)
{
    return (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63);
}

std::int64_t unzigzag(std::uint64_t value)
{
    return static_cast<std::int64_t>((value >> 1U) ^ (0U - (value & 1U)));
}

void put(std::vector<std::uint8_t>& to, std::uint64_t value)
{
    for (; value >= more_bytes; value >>= bits_a_byte)
        to.push_back(static_cast<std::uint8_t>(value | more_bytes));
    to.push_back(static_cast<std::uint8_t>(value));
}

// Takes numbers off the front; once one is none, all that follow are 0.
class Unpacking {
public:
    explicit Unpacking(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    std::uint8_t byte()
    {
        if (rest_.empty()) {
            good_ = false;
            return 0;
        }
        const std::uint8_t first = rest_.front();
        rest_ = rest_.subspan(1);
        return first;
    }

    std::uint64_t number(std::uint64_t most)
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; good_; shift += bits_a_byte) {
            const std::uint8_t next = byte();
            const std::uint64_t bits = next & (more_bytes - 1U);
            const bool fits = shift < 64 && (bits << shift) >> shift == bits;
            const bool shortest = next != 0 || shift == 0;
            good_ = good_ && fits && shortest;
            if (!good_)
                break;
            value |= bits << shift;
            if ((next & more_bytes) == 0)
                break;
        }
        good_ = good_ && value <= most;
        return good_ ? value : 0;
    }

    [[nodiscard]] std::span<const std::uint8_t> rest() const { return rest_; }
    [[nodiscard]] bool good() const { return good_; }

private:
    std::span<const std::uint8_t> rest_;
    bool good_ = true;
};

// The drift beside the delay, in its 4 bits.
std::uint64_t drift_bits(std::int64_t drift)
{
    return drift >= lowest_drift && drift <= highest_drift ? static_cast<std::uint64_t>(drift - lowest_drift)
                                                           : drift_follows;
}

bool has_rare(const PackedReading& reading)
{
    return reading.standing == Standing::accepted_by_operator || reading.delivery == Delivery::retained ||
           reading.quality != Quality{} || reading.events != 0;
}

std::uint8_t flags_of(const PackedReading& reading)
{
    auto flags = static_cast<unsigned>(reading.source) << source_shift;
    if (reading.standing == Standing::discarded)
        flags |= discarded;
    if (reading.uptime.count() > UINT32_MAX)
        flags |= long_uptime;
    if (reading.clock == Clock::synchronised)
        flags |= synchronised;
    if (reading.delay < 0)
        flags |= delay_is_negative;
    if (has_rare(reading))
        flags |= rare_follows;
    if (reading.power)
        flags |= power_follows;
    return static_cast<std::uint8_t>(flags);
}

void put_rare(std::vector<std::uint8_t>& to, const PackedReading& reading)
{
    unsigned flags = 0;
    if (reading.standing == Standing::accepted_by_operator)
        flags |= overruled;
    if (reading.delivery == Delivery::retained)
        flags |= from_retained;
    to.push_back(static_cast<std::uint8_t>(flags));
    for (const std::uint32_t value :
         {reading.quality.glitches, reading.quality.missed_edges, reading.quality.uncertain, reading.events})
        put(to, value);
}

// False: a standing and another one, or flags that are none.
bool take_rare(Unpacking& from, PackedReading& reading)
{
    const unsigned flags = from.byte();
    if ((flags & overruled) != 0) {
        if (reading.standing == Standing::discarded)
            return false;
        reading.standing = Standing::accepted_by_operator;
    }
    if ((flags & from_retained) != 0)
        reading.delivery = Delivery::retained;
    for (std::uint32_t* value : {&reading.quality.glitches, &reading.quality.missed_edges,
                                 &reading.quality.uncertain, &reading.events})
        *value = static_cast<std::uint32_t>(from.number(UINT32_MAX));
    return flags <= (overruled | from_retained);
}

std::optional<Milliwatts> power_of(std::span<const std::uint8_t> bytes)
{
    if (bytes.size() > sizeof(std::uint32_t) || (!bytes.empty() && bytes.front() == 0))
        return std::nullopt;
    Milliwatts power;
    for (const std::uint8_t byte : bytes)
        power.value = (power.value << 8U) | byte;
    return power;
}

} // namespace

std::vector<std::uint8_t> pack(const PackedReading& reading)
{
    std::vector<std::uint8_t> bytes;
    bytes.reserve(32);
    const std::uint8_t flags = flags_of(reading);
    bytes.push_back(flags);
    put(bytes, reading.total.value);
    put(bytes, reading.boot);
    if ((flags & long_uptime) != 0) {
        put(bytes, static_cast<std::uint64_t>(reading.uptime.count()));
    } else {
        for (unsigned shift = 32; shift > 0; shift -= 8)
            bytes.push_back(static_cast<std::uint8_t>(reading.uptime.count() >> (shift - 8)));
    }
    const std::uint64_t drift = drift_bits(reading.drift);
    put(bytes, static_cast<std::uint64_t>(std::abs(reading.delay)) * drift_width + drift);
    if (drift == drift_follows)
        put(bytes, zigzag(reading.drift));
    if ((flags & rare_follows) != 0)
        put_rare(bytes, reading);
    if (reading.power) {
        for (unsigned shift = 32; shift > 0; shift -= 8) {
            if (reading.power->value >> (shift - 8) != 0)
                bytes.push_back(static_cast<std::uint8_t>(reading.power->value >> (shift - 8)));
        }
    }
    return bytes;
}

std::optional<PackedReading> unpack(std::span<const std::uint8_t> bytes)
{
    Unpacking from(bytes);
    PackedReading reading;
    const unsigned flags = from.byte();
    reading.source = static_cast<Source>((flags >> source_shift) & source_bits);
    if ((flags & discarded) != 0)
        reading.standing = Standing::discarded;
    if ((flags & synchronised) != 0)
        reading.clock = Clock::synchronised;
    reading.total.value = from.number(largest_integer);
    reading.boot = from.number(largest_integer);
    if ((flags & long_uptime) != 0) {
        reading.uptime = Uptime{static_cast<Uptime::rep>(from.number(largest_integer))};
    } else {
        for (int count = 0; count < 4; ++count)
            reading.uptime = Uptime{(reading.uptime.count() << 8U) | from.byte()};
    }
    const std::uint64_t delay_and_drift =
        from.number(static_cast<std::uint64_t>(longest_delay) * drift_width + drift_follows);
    const std::uint64_t drift = delay_and_drift % drift_width;
    reading.drift = drift == drift_follows ? unzigzag(from.number(UINT64_MAX))
                                           : static_cast<std::int64_t>(drift) + lowest_drift;
    reading.delay = static_cast<std::int64_t>(delay_and_drift / drift_width);
    if ((flags & delay_is_negative) != 0)
        reading.delay = -reading.delay;
    if ((flags & rare_follows) != 0 && !take_rare(from, reading))
        return std::nullopt;
    if ((flags & power_follows) != 0) {
        reading.power = power_of(from.rest());
        if (!reading.power)
            return std::nullopt;
    } else if (!from.rest().empty()) {
        return std::nullopt;
    }
    // The flags once more: what was to follow, be negative or long, and is not.
    if (!from.good() || flags != flags_of(reading) || drift != drift_bits(reading.drift) ||
        reading.source == Source{})
        return std::nullopt;
    return reading;
}

} // namespace pulsemeter
