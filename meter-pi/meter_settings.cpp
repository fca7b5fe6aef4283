#include "meter-pi/meter_settings.hpp"

#include "meter-pi/store_owner.hpp"

#include <fmt/core.h>

#include <map>

namespace pulsemeter {

namespace {

template <typename Value>
Value choice(ConfigFile::Table& table, std::string_view key,
             const std::map<std::string, Value, std::less<>>& words, Value otherwise)
{
    const auto word = table.string(key);
    if (!word)
        return otherwise;
    if (const auto found = words.find(*word); found != words.end())
        return found->second;
    std::string allowed;
    for (const auto& [name, value] : words)
        allowed += fmt::format("{}\"{}\"", allowed.empty() ? "" : ", ", name);
    table.refuse(key, fmt::format("\"{}\" is not one of {}", *word, allowed));
}

MeterId read_id(ConfigFile::Table& table)
{
    const std::string word = table.required_string("id");
    const auto id = MeterId::parse(word);
    if (!id) {
        table.refuse("id",
                     fmt::format("\"{}\": 1 to {} of a-z, 0-9 and - are allowed", word, MeterId::longest));
    }
    return *id;
}

crypto::MasterKey read_key(ConfigFile::Table& table)
{
    const auto key = crypto::MasterKey::parse(table.required_string("key"));
    if (!key) // never quoted: it is a secret
        table.refuse("key", "not a key as `meter-server meter add` writes it (44 characters of base64url)");
    return *key;
}

std::string read_topic(ConfigFile::Table& table, std::string_view key, std::string otherwise)
{
    const auto topic = table.string(key);
    if (!topic)
        return otherwise;
    if (const auto good = check_topic(*topic); !good)
        table.refuse(key, text(good.error()));
    return *topic;
}

std::optional<ClassicTopics> read_wire(ConfigFile::Table& table, MeterConstant constant)
{
    enum class Word { sealed, classic };
    const auto wire =
        choice<Word>(table, "wire", {{"sealed", Word::sealed}, {"classic", Word::classic}}, Word::sealed);
    if (wire == Word::sealed)
        return std::nullopt; // a topic that is set all the same is an unknown key
    ClassicTopics topics;
    topics.up = read_topic(table, "up_topic", topics.up);
    topics.down = read_topic(table, "down_topic", topics.down);
    if (topics.up == topics.down) {
        table.refuse("down_topic",
                     "the same as up_topic: the meter would take its own readings for confirmations");
    }
    if (constant != classic_constant) {
        table.refuse("imp_per_kwh",
                     fmt::format("on the classic wire a unit is one flash and is priced as 1 Wh: only {} "
                                 "is possible there",
                                 classic_constant.imp_per_kwh));
    }
    return topics;
}

GpioSettings read_gpio(ConfigFile::Table table, const PulseFilter& filter)
{
    GpioSettings gpio;
    const auto name = table.string("line");
    const auto chip = table.string("chip");
    const auto offset = table.integer("offset", 0, 1023);
    if (name && (chip || offset))
        table.refuse("line", "name the line, or its chip and offset, not both");
    if (chip.has_value() != offset.has_value())
        table.refuse(chip ? "chip" : "offset", "chip and offset go together");
    if (name)
        gpio.line = LineName{*name};
    if (chip)
        gpio.line = LineOffset{*chip, static_cast<unsigned>(*offset)};
    gpio.pull = choice<Pull>(table, "pull", {{"up", Pull::up}, {"down", Pull::down}, {"none", Pull::none}},
                             gpio.pull);
    gpio.active = choice<ActiveLevel>(table, "active",
                                      {{"low", ActiveLevel::low}, {"high", ActiveLevel::high}}, gpio.active);
    gpio.filter = choice<FilterKind>(
        table, "filter",
        {{"own", FilterKind::own}, {"kernel", FilterKind::kernel}, {"none", FilterKind::none}}, gpio.filter);
    gpio.own_filter = filter;
    if (const auto width = table.integer("min_width_us", 0, 1'000'000))
        gpio.own_filter.min_width = std::chrono::microseconds(*width);
    if (const auto spacing = table.integer("min_spacing_us", 0, 1'000'000))
        gpio.own_filter.min_spacing = std::chrono::microseconds(*spacing);
    if (const auto debounce = table.integer("debounce_us", 1'000, 1'000'000))
        gpio.debounce = std::chrono::microseconds(*debounce);
    return gpio;
}

SimulationSettings read_simulation(ConfigFile::Table table)
{
    SimulationSettings simulation;
    simulation.model = choice<SimulatedLoad>(
        table, "model", {{"uniform", SimulatedLoad::uniform}, {"household", SimulatedLoad::household}},
        simulation.model);
    simulation.seed = static_cast<std::uint64_t>(table.integer("seed", 0, INT64_MAX).value_or(0));
    simulation.speed = static_cast<std::uint32_t>(table.integer("speed", 1, 1'000).value_or(1));
    return simulation;
}

MeterSettings read(ConfigFile file)
{
    auto meter = file.table("meter");
    const MeterId id = read_id(meter);
    const crypto::MasterKey key = read_key(meter);
    const MeterConstant constant{
        static_cast<std::uint32_t>(meter.integer("imp_per_kwh", 1, largest_imp_per_kwh).value_or(1'000))};
    const auto max_kw = static_cast<std::uint32_t>(meter.integer("max_kw", 1, 10'000).value_or(43));
    const std::chrono::seconds interval{meter.integer("interval_s", 1, 86'400).value_or(10)};
    const auto classic = read_wire(meter, constant);
    const BrokerSettings broker = read_broker(file.table("broker"));
    const GpioSettings gpio = read_gpio(file.table("gpio"), default_filter(constant, max_kw));
    const SimulationSettings simulation = read_simulation(file.table("simulation"));
    file.finish();
    return {id, key, constant, max_kw, interval, broker, gpio, simulation, classic};
}

} // namespace

std::string owner_text(const MeterSettings& settings)
{
    return settings.id.text() + std::string(settings.classic ? on_the_classic_wire : "");
}

MeterSettings read_meter_settings(const std::filesystem::path& path)
{
    return read(ConfigFile::read(path, Secrecy::owner_only));
}

MeterSettings parse_meter_settings(std::string_view text, const std::filesystem::path& name)
{
    return read(ConfigFile::parse(text, name));
}

} // namespace pulsemeter
