// The whole configuration of a meter, as `meter add` writes it and one copies to the Pi: TOML with comments,
// read by meter-pi. Holds the meter's key, so it is a secret file. Pure.
#pragma once

#include "shared/broker_settings.hpp"
#include "shared/classic_codec.hpp"
#include "shared/reading.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

struct MeterFile {
    MeterId id;
    std::string_view key; // base64url
    MeterConstant constant;
    std::int64_t max_kw = 0;
    std::chrono::seconds interval{10};
    BrokerSettings broker;
    std::optional<ClassicTopics> classic = {}; // nothing: the sealed wire
};

[[nodiscard]] std::string text(const MeterFile& file);

// A broker by this name is on the machine that says it: another machine can't mean it.
[[nodiscard]] bool is_loopback(const BrokerUrl& url);

} // namespace pulsemeter
