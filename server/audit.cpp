#include "server/audit.hpp"

#include <boost/crc.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace pulsemeter {
namespace {

class Writer {
public:
    void bytes(std::span<const std::uint8_t> values) { to_.insert(to_.end(), values.begin(), values.end()); }
    void byte(std::uint8_t value) { to_.push_back(value); }
    void number(std::uint64_t value)
    {
        for (unsigned shift = 64; shift > 0; shift -= 8)
            to_.push_back(static_cast<std::uint8_t>(value >> (shift - 8)));
    }
    void number(std::int64_t value) { number(static_cast<std::uint64_t>(value)); }
    void text(std::string_view text) // at most 255 bytes
    {
        byte(static_cast<std::uint8_t>(text.size()));
        to_.insert(to_.end(), text.begin(), text.end());
    }
    [[nodiscard]] std::vector<std::uint8_t> take() { return std::move(to_); }

private:
    std::vector<std::uint8_t> to_;
};

std::optional<std::uint8_t> digit(char character)
{
    if (character >= '0' && character <= '9')
        return static_cast<std::uint8_t>(character - '0');
    if (character >= 'a' && character <= 'f')
        return static_cast<std::uint8_t>(character - 'a' + 10);
    return std::nullopt;
}

} // namespace

std::string text(const AuditHead& head)
{
    std::string text = fmt::format("{}-", head.number);
    for (const std::uint8_t byte : head.mac)
        text += fmt::format("{:02x}", byte);
    return text;
}

std::optional<AuditHead> parse_head(std::string_view text)
{
    AuditHead head;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), head.number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (error != std::errc{} || head.number == 0 || text.size() != 1 + 2 * head.mac.size() || text[0] != '-')
        return std::nullopt;
    text.remove_prefix(1);
    for (std::size_t place = 0; place < head.mac.size(); ++place) {
        const auto high = digit(text[2 * place]);
        const auto low = digit(text[2 * place + 1]);
        if (!high || !low)
            return std::nullopt;
        head.mac[place] = static_cast<std::uint8_t>(*high << 4U | *low);
    }
    return head;
}

std::vector<std::uint8_t> chain_bytes(const AuditMac& chain, const LedgerReading& row)
{
    const Reading& reading = row.reading;
    Writer to;
    to.byte('R');
    to.bytes(chain);
    to.number(std::uint64_t{reading.epoch.value});
    to.number(reading.sequence.value);
    to.number(reading.total.value);
    to.number(std::uint64_t{reading.constant.imp_per_kwh});
    to.number(reading.start.value);
    to.number(std::int64_t{reading.measured_at.time_since_epoch().count()});
    to.byte(static_cast<std::uint8_t>(reading.clock));
    to.bytes(reading.boot);
    to.number(std::int64_t{reading.uptime.count()});
    to.byte(static_cast<std::uint8_t>(reading.source));
    for (const std::uint32_t value :
         {reading.quality.glitches, reading.quality.missed_edges, reading.quality.uncertain, reading.events})
        to.number(std::uint64_t{value});
    to.byte(reading.power ? 1 : 0);
    to.number(std::uint64_t{reading.power.value_or(Milliwatts{}).value});
    to.number(std::int64_t{row.received_at.time_since_epoch().count()});
    to.byte(static_cast<std::uint8_t>(row.standing));
    return to.take();
}

std::uint32_t checksum(std::span<const std::uint8_t> bytes)
{
    boost::crc_32_type sum;
    sum.process_bytes(bytes.data(), bytes.size());
    return sum.checksum();
}

std::vector<std::uint8_t> seal_bytes(const SealFacts& facts)
{
    Writer to;
    to.byte('S');
    to.number(facts.number);
    to.byte(static_cast<std::uint8_t>(facts.kind));
    to.number(facts.day);
    to.number(facts.rows);
    to.text(facts.meter.text());
    to.bytes(facts.previous_of_meter);
    to.bytes(facts.previous_of_all);
    to.bytes(facts.chain);
    return to.take();
}

} // namespace pulsemeter
