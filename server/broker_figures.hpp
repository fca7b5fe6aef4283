// What a broker says of itself below $SYS, as far as it says anything: nothing obliges it to, and what it says nobody
// has checked. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace pulsemeter {

class BrokerFigures {
public:
    void note(std::string_view topic, std::string_view value); // what is not below $SYS is not taken
    void note_refusal() { refused_ = true; }                   // the broker lets us see none
    [[nodiscard]] bool refused() const { return refused_; }
    [[nodiscard]] bool empty() const { return values_.empty(); }

    // The figures that Mosquitto gives and people ask for; of a broker that gives others, those.
    [[nodiscard]] std::string table() const;
    // {"broker":URL,"sys_refused":BOOLEAN,"sys":{TOPIC:VALUE,…}}, all of them, as texts.
    [[nodiscard]] std::string json(const std::string& broker) const;

private:
    std::map<std::string, std::string, std::less<>> values_; // by topic
    bool refused_ = false;
};

} // namespace pulsemeter
