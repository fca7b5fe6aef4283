#include "shared/mqtt_reason.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr const char* taken_over =
    "another client took over our client id: give each program a configuration of its own";
constexpr const char* not_authorized =
    "the broker does not authorize us: allow this client in the broker's settings";
constexpr const char* wants_password =
    "the broker wants a user name and a password, which this version can't give: name another broker";
constexpr const char* older_broker =
    "the broker does not speak MQTT 5: set mqtt_version = \"3.1.1\" in [broker]";

std::string reason_3(int code)
{
    switch (code) {
    case 1:
        return "the broker does not speak MQTT 3.1.1";
    case 2:
        return "the broker refuses our client id";
    case 3:
        return "the broker says that it is unavailable";
    case 4:
        return wants_password;
    case 5:
        return not_authorized;
    case 128:
        return "the broker does not allow it";
    default:
        return fmt::format("the broker refuses (code {})", code);
    }
}

std::string reason_5(int code)
{
    switch (code) {
    case 1: // a 3.1.1 broker's answer to a version that it does not know
    case 132:
        return older_broker;
    case 133:
        return "the broker refuses our client id";
    case 134:
        return wants_password;
    case 135:
        return not_authorized;
    case 136:
        return "the broker says that it is unavailable";
    case 137:
        return "the broker is busy";
    case 138:
        return "the broker has banned us";
    case 139:
        return "the broker shuts down";
    case 141:
        return "the broker heard nothing of us for too long";
    case 142:
        return taken_over;
    case 149:
        return "a packet was too large for the broker";
    case 151:
        return "the broker's quota is used up";
    case 152:
        return "the broker's administrator ended the connection";
    case 159:
        return "the broker lets us connect less often";
    default:
        return fmt::format("the broker refuses (reason 0x{:02x})", code);
    }
}

} // namespace

std::string mqtt_reason(int code, MqttVersion version)
{
    return version == MqttVersion::v5 ? reason_5(code) : reason_3(code);
}

} // namespace pulsemeter
