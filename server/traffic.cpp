#include "server/traffic.hpp"

#include "server/decimal.hpp"
#include "server/time_text.hpp"
#include "shared/harmless.hpp"
#include "shared/reading_codec.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr std::size_t longest_shown = 300; // bytes of a payload; more than a sealed message has
constexpr std::size_t longest_filter = 65'535;

std::string head_of(const Received& message, WallTime now)
{
    return fmt::format("{}  {}, QoS {}{}, {} bytes: ", local_text(now), escaped(message.topic), message.qos,
                       message.retained ? ", retained" : "", message.payload.size());
}

std::string shown(std::string_view payload)
{
    return payload.size() <= longest_shown ? escaped(payload)
                                           : escaped(payload.substr(0, longest_shown)) + " ...";
}

struct InWords {
    std::string operator()(const Hello& hello) const
    {
        if (!hello.has_register)
            return fmt::format("hello, no {} register", text(hello.source));
        return fmt::format("hello, {} register at {}/{} with {} pulses", text(hello.source),
                           hello.epoch.value, hello.sequence.value, hello.total.value);
    }
    std::string operator()(const Reading& reading) const
    {
        return fmt::format("reading {}/{}, {} pulses at {} imp/kWh, {}, measured {}", reading.epoch.value,
                           reading.sequence.value, reading.total.value, reading.constant.imp_per_kwh,
                           text(reading.source), local_text(reading.measured_at));
    }
    std::string operator()(const State& state) const
    {
        return fmt::format("the server knows {}/{} with {} pulses", state.epoch.value, state.sequence.value,
                           state.total.value);
    }
    std::string operator()(const Confirmation& confirmation) const
    {
        return fmt::format("confirmed {0}/{1} to {0}/{2}", confirmation.epoch.value, confirmation.first.value,
                           confirmation.last.value);
    }
    std::string operator()(const Refused& refused) const
    {
        return fmt::format("refused {}/{}: {}", refused.epoch.value, refused.sequence.value,
                           text(refused.reason));
    }
};

} // namespace

void Traffic::add_meter(const MeterId& id, const crypto::MeterKeys& keys)
{
    channels_.insert_or_assign(keys.up_topic, Channel{id, Wire::sealed, Way::up, crypto::Fernet(keys.up)});
    channels_.insert_or_assign(keys.down_topic,
                               Channel{id, Wire::sealed, Way::down, crypto::Fernet(keys.down)});
}

void Traffic::add_meter(const MeterId& id, const crypto::FernetKey& key, const ClassicTopics& topics)
{
    channels_.insert_or_assign(topics.up, Channel{id, Wire::classic, Way::up, crypto::Fernet(key)});
    channels_.insert_or_assign(topics.down, Channel{id, Wire::classic, Way::down, crypto::Fernet(key)});
}

std::string Traffic::line(const Received& message, WallTime now)
{
    const auto channel = channels_.find(message.topic);
    std::string what;
    if (channel == channels_.end()) {
        what = "not ours: " + shown(message.payload);
    } else if (const auto words = opened(channel->second, message.payload)) {
        what = *words;
    } else {
        what = fmt::format("not ours, though on the topic of meter {}: {}", channel->second.meter.text(),
                           shown(message.payload));
    }
    return head_of(message, now) + what + "\n";
}

std::string Traffic::sealed_line(const Received& message, WallTime now)
{
    return head_of(message, now) + shown(message.payload) + "\n";
}

std::optional<std::string> Traffic::opened(Channel& channel, std::string_view payload)
{
    const auto plain = channel.seal.open(payload);
    if (!plain)
        return std::nullopt;
    if (channel.wire == Wire::classic) {
        const auto total = decode_total(plain->plaintext);
        if (!total)
            return std::nullopt;
        return channel.way == Way::up
                   ? fmt::format("meter {}: total {}, classic", channel.meter.text(), total->value)
                   : fmt::format("to meter {}: confirmed total {}, classic", channel.meter.text(),
                                 total->value);
    }
    if (channel.way == Way::up) {
        const auto message = decode_up(channel.meter, plain->plaintext);
        return message ? std::optional(fmt::format("meter {}: {}", channel.meter.text(),
                                                   std::visit(InWords{}, *message)))
                       : std::nullopt;
    }
    const auto message = decode_down(channel.meter, plain->plaintext);
    return message ? std::optional(fmt::format("to meter {}: {}", channel.meter.text(),
                                               std::visit(InWords{}, *message)))
                   : std::nullopt;
}

std::optional<std::string> why_no_filter(std::string_view text)
{
    if (text.empty() || text.size() > longest_filter)
        return fmt::format("1 to {} bytes are wanted", longest_filter);
    if (text.starts_with("$share/"))
        return "a shared subscription would take messages away from those who share it";
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(harmless_length(rest))) {
        if (harmless_length(rest) == 0)
            return "UTF-8 without control characters is wanted";
    }
    for (std::size_t at = 0; at < text.size(); ++at) {
        const bool wildcard = text[at] == '#' || text[at] == '+';
        const bool begins_a_level = at == 0 || text[at - 1] == '/';
        const bool ends_a_level = at + 1 == text.size() || text[at + 1] == '/';
        if (wildcard && !(begins_a_level && ends_a_level))
            return fmt::format("{} stands for a whole level: alone, or between slashes", text[at]);
        if (text[at] == '#' && at + 1 != text.size())
            return "# stands for all that follows, and nothing can follow it";
    }
    return std::nullopt;
}

} // namespace pulsemeter
