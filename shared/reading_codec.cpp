#include "shared/reading_codec.hpp"

#include "shared/ensure.hpp"

#include <algorithm>
#include <concepts>

namespace pulsemeter {
namespace {

enum class Kind : std::uint8_t { hello = 1, state = 2, reading = 3, confirmation = 4, refused = 5 };
enum class Direction : std::uint8_t { up = 'U', down = 'D' };

constexpr std::uint32_t unknown_power = UINT32_MAX;
constexpr WallTime end_of_year_9999{std::chrono::milliseconds(253'402'300'799'999)};

class Writer {
public:
    template <std::unsigned_integral Integer>
    void put(Integer value)
    {
        for (std::size_t shift = sizeof(Integer) * 8; shift > 0; shift -= 8)
            bytes_.at(position_++) = static_cast<std::uint8_t>(value >> (shift - 8));
    }
    void put(std::span<const std::uint8_t> bytes)
    {
        for (const std::uint8_t byte : bytes)
            put(byte);
    }
    [[nodiscard]] const Plaintext& bytes() const { return bytes_; }

private:
    Plaintext bytes_{};
    std::size_t position_ = 0;
};

std::uint8_t id_byte(const MeterId& meter, std::size_t place)
{
    return place < meter.text().size() ? static_cast<std::uint8_t>(meter.text()[place]) : 0;
}

// Over exactly plaintext_size bytes, of which every layout takes fewer: it can't run over the end.
class Reader {
public:
    explicit Reader(std::span<const std::uint8_t, plaintext_size> bytes) : bytes_(bytes) {}

    std::uint8_t u8() { return integer<std::uint8_t>(); }
    std::uint32_t u32() { return integer<std::uint32_t>(); }
    std::uint64_t u64() { return integer<std::uint64_t>(); }
    std::array<std::uint8_t, 16> sixteen()
    {
        std::array<std::uint8_t, 16> taken{};
        std::generate(taken.begin(), taken.end(), [this] { return u8(); });
        return taken;
    }
    [[nodiscard]] bool only_zeros_follow() const
    {
        const auto rest = bytes_.subspan(position_);
        return std::all_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte == 0; });
    }

private:
    template <std::unsigned_integral Integer>
    Integer integer()
    {
        std::uint64_t value = 0;
        for (std::size_t count = sizeof(Integer); count > 0; --count)
            value = (value << 8U) | bytes_[position_++];
        return static_cast<Integer>(value);
    }

    std::span<const std::uint8_t, plaintext_size> bytes_;
    std::size_t position_ = 0;
};

bool in_range(Sequence sequence)
{
    return sequence.value >= 1 && sequence.value <= largest_integer;
}
bool in_range(Pulses total)
{
    return total.value <= largest_integer;
}
bool in_range(MeterConstant constant)
{
    return constant.imp_per_kwh >= 1 && constant.imp_per_kwh <= largest_imp_per_kwh;
}
bool in_range(MilliwattHours start)
{
    return start.value <= largest_integer;
}
bool in_range(Source source)
{
    return source == Source::measured || source == Source::simulated;
}

template <typename Message>
constexpr Kind kind_of{};
template <>
constexpr Kind kind_of<Hello> = Kind::hello;
template <>
constexpr Kind kind_of<State> = Kind::state;
template <>
constexpr Kind kind_of<Reading> = Kind::reading;
template <>
constexpr Kind kind_of<Confirmation> = Kind::confirmation;
template <>
constexpr Kind kind_of<Refused> = Kind::refused;

bool travels(Kind kind, Direction direction)
{
    switch (kind) {
    case Kind::hello:
    case Kind::reading:
        return direction == Direction::up;
    case Kind::state:
    case Kind::confirmation:
    case Kind::refused:
        return direction == Direction::down;
    }
    return false;
}

// Each message: what is valid, how it is written, how it is read. An integer above 2^63−1 that is read into a
// signed type turns negative, and valid() refuses that.

bool valid(const Reading& reading)
{
    return reading.epoch.value >= 1 && in_range(reading.sequence) && in_range(reading.total) &&
           in_range(reading.constant) && in_range(reading.start) && reading.measured_at >= WallTime{} &&
           reading.measured_at <= end_of_year_9999 &&
           (reading.clock == Clock::unsynchronised || reading.clock == Clock::synchronised) &&
           in_range(reading.source) && reading.uptime >= Uptime::zero() &&
           (!reading.power || reading.power->value != unknown_power);
}

void write(Writer& writer, const Reading& reading)
{
    writer.put(reading.epoch.value);
    writer.put(reading.sequence.value);
    writer.put(reading.total.value);
    writer.put(reading.constant.imp_per_kwh);
    writer.put(reading.start.value);
    writer.put(static_cast<std::uint64_t>(reading.measured_at.time_since_epoch().count()));
    writer.put(static_cast<std::uint8_t>(reading.clock));
    writer.put(static_cast<std::uint8_t>(reading.source));
    writer.put(reading.boot);
    writer.put(static_cast<std::uint64_t>(reading.uptime.count()));
    writer.put(reading.quality.glitches);
    writer.put(reading.quality.missed_edges);
    writer.put(reading.quality.uncertain);
    writer.put(reading.events);
    writer.put(reading.power ? reading.power->value : unknown_power);
}

bool read(Reader& reader, Reading& reading)
{
    reading.epoch.value = reader.u32();
    reading.sequence.value = reader.u64();
    reading.total.value = reader.u64();
    reading.constant.imp_per_kwh = reader.u32();
    reading.start.value = reader.u64();
    reading.measured_at = WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(reader.u64())));
    reading.clock = static_cast<Clock>(reader.u8());
    reading.source = static_cast<Source>(reader.u8());
    reading.boot = reader.sixteen();
    reading.uptime = Uptime(static_cast<std::int64_t>(reader.u64()));
    reading.quality.glitches = reader.u32();
    reading.quality.missed_edges = reader.u32();
    reading.quality.uncertain = reader.u32();
    reading.events = reader.u32();
    if (const std::uint32_t power = reader.u32(); power != unknown_power)
        reading.power = Milliwatts{power};
    return valid(reading);
}

bool valid(const Hello& hello)
{
    if (!in_range(hello.source))
        return false;
    if (!hello.has_register)
        return hello.epoch.value == 0 && hello.sequence.value == 0 && hello.total.value == 0;
    return hello.epoch.value >= 1 && hello.sequence.value <= largest_integer && in_range(hello.total);
}

void write(Writer& writer, const Hello& hello)
{
    writer.put(hello.nonce);
    writer.put(hello.epoch.value);
    writer.put(hello.sequence.value);
    writer.put(hello.total.value);
    writer.put(static_cast<std::uint8_t>(hello.has_register ? 1 : 0));
    writer.put(static_cast<std::uint8_t>(hello.source));
    writer.put(hello.boot);
}

bool read(Reader& reader, Hello& hello)
{
    hello.nonce = reader.sixteen();
    hello.epoch.value = reader.u32();
    hello.sequence.value = reader.u64();
    hello.total.value = reader.u64();
    const std::uint8_t has_register = reader.u8();
    hello.has_register = has_register == 1;
    hello.source = static_cast<Source>(reader.u8());
    hello.boot = reader.sixteen();
    return has_register <= 1 && valid(hello);
}

bool valid(const State& state)
{
    if (state.epoch > state.highest_epoch)
        return false;
    if (state.epoch.value == 0) {
        return state.sequence.value == 0 && state.total.value == 0 && state.constant.imp_per_kwh == 0 &&
               state.start.value == 0;
    }
    return in_range(state.sequence) && in_range(state.total) && in_range(state.constant) &&
           in_range(state.start);
}

void write(Writer& writer, const State& state)
{
    writer.put(state.nonce);
    writer.put(state.highest_epoch.value);
    writer.put(state.epoch.value);
    writer.put(state.sequence.value);
    writer.put(state.total.value);
    writer.put(state.constant.imp_per_kwh);
    writer.put(state.start.value);
}

bool read(Reader& reader, State& state)
{
    state.nonce = reader.sixteen();
    state.highest_epoch.value = reader.u32();
    state.epoch.value = reader.u32();
    state.sequence.value = reader.u64();
    state.total.value = reader.u64();
    state.constant.imp_per_kwh = reader.u32();
    state.start.value = reader.u64();
    return valid(state);
}

bool valid(const Confirmation& confirmation)
{
    return confirmation.epoch.value >= 1 && in_range(confirmation.first) && in_range(confirmation.last) &&
           confirmation.first <= confirmation.last;
}

void write(Writer& writer, const Confirmation& confirmation)
{
    writer.put(confirmation.epoch.value);
    writer.put(confirmation.first.value);
    writer.put(confirmation.last.value);
}

bool read(Reader& reader, Confirmation& confirmation)
{
    confirmation.epoch.value = reader.u32();
    confirmation.first.value = reader.u64();
    confirmation.last.value = reader.u64();
    return valid(confirmation);
}

bool valid(const Refused& refused)
{
    return refused.epoch.value >= 1 && in_range(refused.sequence) &&
           refused.reason >= RefusalReason::total_fell && refused.reason <= RefusalReason::conflict;
}

void write(Writer& writer, const Refused& refused)
{
    writer.put(refused.epoch.value);
    writer.put(refused.sequence.value);
    writer.put(static_cast<std::uint8_t>(refused.reason));
}

bool read(Reader& reader, Refused& refused)
{
    refused.epoch.value = reader.u32();
    refused.sequence.value = reader.u64();
    refused.reason = static_cast<RefusalReason>(reader.u8());
    return valid(refused);
}

template <typename Message>
Plaintext encode_message(Direction direction, const MeterId& meter, const Message& message)
{
    ENSURE(valid(message), "a message to be sent has a field out of range");
    Writer writer;
    writer.put(wire_version);
    writer.put(static_cast<std::uint8_t>(kind_of<Message>));
    writer.put(static_cast<std::uint8_t>(direction));
    writer.put(static_cast<std::uint8_t>(meter.text().size()));
    for (std::size_t place = 0; place < MeterId::longest; ++place)
        writer.put(id_byte(meter, place));
    write(writer, message);
    return writer.bytes();
}

struct Header {
    Kind kind;
    Reader body;
};

// In the order that PROTOCOL.md promises, so that two implementations name the same error.
tl::expected<Header, CodecError> read_header(Direction direction, const MeterId& meter,
                                             std::span<const std::uint8_t> bytes)
{
    if (bytes.size() != plaintext_size)
        return tl::unexpected(CodecError::wrong_size);
    Reader reader(bytes.first<plaintext_size>());
    if (reader.u8() != wire_version)
        return tl::unexpected(CodecError::wrong_version);
    const auto kind = static_cast<Kind>(reader.u8());
    if (static_cast<Direction>(reader.u8()) != direction)
        return tl::unexpected(CodecError::wrong_direction);
    if (!travels(kind, direction))
        return tl::unexpected(CodecError::wrong_kind);
    bool same_meter = reader.u8() == meter.text().size();
    for (std::size_t place = 0; place < MeterId::longest; ++place)
        same_meter = (reader.u8() == id_byte(meter, place)) && same_meter;
    if (!same_meter)
        return tl::unexpected(CodecError::wrong_meter);
    return Header{kind, reader};
}

template <typename Message, typename Result>
tl::expected<Result, CodecError> read_body(Reader reader)
{
    Message message;
    if (!read(reader, message))
        return tl::unexpected(CodecError::out_of_range);
    if (!reader.only_zeros_follow())
        return tl::unexpected(CodecError::not_canonical);
    return message;
}

} // namespace

std::string_view text(CodecError error)
{
    switch (error) {
    case CodecError::wrong_size:
        return "wrong size";
    case CodecError::wrong_version:
        return "unknown wire version";
    case CodecError::wrong_kind:
        return "unknown kind of message";
    case CodecError::wrong_direction:
        return "a message of the other direction";
    case CodecError::wrong_meter:
        return "another meter's message";
    case CodecError::out_of_range:
        return "a field out of its range";
    case CodecError::not_canonical:
        return "an unused byte that is not zero";
    }
    return "unknown";
}

Plaintext encode(const MeterId& meter, const UpMessage& message)
{
    return std::visit([&](const auto& sent) { return encode_message(Direction::up, meter, sent); }, message);
}

Plaintext encode(const MeterId& meter, const DownMessage& message)
{
    return std::visit([&](const auto& sent) { return encode_message(Direction::down, meter, sent); },
                      message);
}

tl::expected<UpMessage, CodecError> decode_up(const MeterId& meter, std::span<const std::uint8_t> bytes)
{
    const auto header = read_header(Direction::up, meter, bytes);
    if (!header)
        return tl::unexpected(header.error());
    return header->kind == Kind::hello ? read_body<Hello, UpMessage>(header->body)
                                       : read_body<Reading, UpMessage>(header->body);
}

tl::expected<DownMessage, CodecError> decode_down(const MeterId& meter, std::span<const std::uint8_t> bytes)
{
    const auto header = read_header(Direction::down, meter, bytes);
    if (!header)
        return tl::unexpected(header.error());
    if (header->kind == Kind::state)
        return read_body<State, DownMessage>(header->body);
    if (header->kind == Kind::confirmation)
        return read_body<Confirmation, DownMessage>(header->body);
    return read_body<Refused, DownMessage>(header->body);
}

} // namespace pulsemeter
