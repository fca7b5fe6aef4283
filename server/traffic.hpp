// What passes on a broker, a line a message: when, where, how large, and what it says if it is one of ours. Whatever
// else is there is marked, and shown so that neither its topic nor its payload can do anything to a terminal. Nothing
// is admitted, stored or answered. One thread.
#pragma once

#include "shared/classic_codec.hpp"
#include "shared/crypto/meter_keys.hpp"
#include "shared/message_bus.hpp"
#include "shared/reading.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

class Traffic {
public:
    void add_meter(const MeterId& id, const crypto::MeterKeys& keys);
    void add_meter(const MeterId& id, const crypto::FernetKey& key, const ClassicTopics& topics);

    // "2026-01-31 13:00:00  pulsemeter/…/up, QoS 1, retained, 248 bytes: meter hall: reading 1/5, …\n"
    [[nodiscard]] std::string line(const Received& message, WallTime now);

    // The same, with the payload as it is.
    [[nodiscard]] static std::string sealed_line(const Received& message, WallTime now);

private:
    enum class Way { up, down };
    enum class Wire { sealed, classic };
    struct Channel {
        MeterId meter;
        Wire wire;
        Way way;
        crypto::Fernet seal;
    };
    [[nodiscard]] static std::optional<std::string> opened(Channel& channel, std::string_view payload);

    std::map<std::string, Channel, std::less<>> channels_; // by topic
};

// Why a text can't be subscribed to, for people; nothing if it can.
[[nodiscard]] std::optional<std::string> why_no_filter(std::string_view text);

} // namespace pulsemeter
