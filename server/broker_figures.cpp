#include "server/broker_figures.hpp"

#include "server/text_table.hpp"
#include "shared/harmless.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <utility>

namespace pulsemeter {
namespace {

constexpr std::string_view root = "$SYS/";
constexpr std::size_t most_topics = 1000; // a broker that means ill must not fill our memory
constexpr std::size_t longest_shown = 100;

using Figure = std::pair<std::string_view, std::string_view>;
constexpr std::array figures{
    Figure{"version", "$SYS/broker/version"},
    Figure{"uptime", "$SYS/broker/uptime"},
    Figure{"clients connected", "$SYS/broker/clients/connected"},
    Figure{"clients at most", "$SYS/broker/clients/maximum"},
    Figure{"subscriptions", "$SYS/broker/subscriptions/count"},
    Figure{"messages received", "$SYS/broker/messages/received"},
    Figure{"messages sent", "$SYS/broker/messages/sent"},
    Figure{"messages dropped", "$SYS/broker/publish/messages/dropped"},
    Figure{"messages stored", "$SYS/broker/messages/stored"},
    Figure{"messages retained", "$SYS/broker/retained messages/count"},
    Figure{"bytes received", "$SYS/broker/bytes/received"},
    Figure{"bytes sent", "$SYS/broker/bytes/sent"},
    Figure{"received in 1 min", "$SYS/broker/load/messages/received/1min"},
    Figure{"received in 5 min", "$SYS/broker/load/messages/received/5min"},
    Figure{"received in 15 min", "$SYS/broker/load/messages/received/15min"},
    Figure{"sent in 1 min", "$SYS/broker/load/messages/sent/1min"},
    Figure{"sent in 5 min", "$SYS/broker/load/messages/sent/5min"},
    Figure{"sent in 15 min", "$SYS/broker/load/messages/sent/15min"},
};

std::string shown(std::string_view text)
{
    return escaped(text.substr(0, longest_shown));
}

} // namespace

void BrokerFigures::note(std::string_view topic, std::string_view value)
{
    if (topic.starts_with(root) && (values_.size() < most_topics || values_.contains(topic)))
        values_.insert_or_assign(std::string(topic), std::string(value));
}

std::string BrokerFigures::table() const
{
    bool any = false;
    TextTable known({{"FIGURE"}, {"VALUE"}});
    for (const auto& [name, topic] : figures) {
        if (const auto value = values_.find(topic); value != values_.end()) {
            known.add({std::string(name), shown(value->second)});
            any = true;
        }
    }
    if (any)
        return known.text();

    TextTable all({{"TOPIC"}, {"VALUE"}});
    for (const auto& [topic, value] : values_)
        all.add({shown(topic), shown(value)});
    return all.text();
}

std::string BrokerFigures::json(const std::string& broker) const
{
    nlohmann::ordered_json sys = nlohmann::ordered_json::object();
    for (const auto& [topic, value] : values_)
        sys[topic] = value;
    const nlohmann::ordered_json all{{"broker", broker}, {"sys_refused", refused_}, {"sys", std::move(sys)}};
    return all.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace pulsemeter
