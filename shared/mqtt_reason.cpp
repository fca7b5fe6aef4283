#include "shared/mqtt_reason.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr const char* bad_client_id =
    "the broker refuses our client id (pulsemeter-...): allow it there, for this user too";
constexpr const char* unavailable =
    "the broker says that it is unavailable: see its log, or wait until it is up again";
constexpr const char* older_broker =
    "the broker does not speak MQTT 5: set mqtt_version = \"3.1.1\" in [broker]";

// Brokers tell a wrong password and a user who may not come in by one code, lest somebody try out names.
std::string login_refused(const BrokerSettings& settings)
{
    if (settings.username.empty()) {
        return "not authorised: the broker lets nobody in without a name: set username and password_file in "
               "[broker], "
               "or allow anonymous clients there";
    }
    if (settings.password_file.empty()) {
        return fmt::format(
            "not authorised: the broker does not let user {} in without a password: set password_file "
            "in [broker]",
            settings.username);
    }
    return fmt::format(
        "not authorised: wrong user name {} or wrong password in {}: correct them, or the user on the "
        "broker",
        settings.username, settings.password_file.string());
}

std::string reason_3(int code, const BrokerSettings& settings)
{
    switch (code) {
    case 1:
        return "the broker does not speak MQTT 3.1.1";
    case 2:
        return bad_client_id;
    case 3:
        return unavailable;
    case 4:
    case 5:
        return login_refused(settings);
    default:
        return fmt::format("the broker refuses (code {})", code);
    }
}

std::string reason_5(int code, const BrokerSettings& settings)
{
    switch (code) {
    case 1: // a 3.1.1 broker's answer to a version that it does not know
    case 132:
        return older_broker;
    case 129:
    case 130:
        return "the broker says that it can't make out what we sent: if it is an older one, set mqtt_version "
               "= "
               "\"3.1.1\" in [broker]";
    case 133:
        return bad_client_id;
    case 134:
    case 135:
        return login_refused(settings);
    case 136:
        return unavailable;
    case 137:
        return "the broker is busy: nothing to do if it passes, else lighten its load";
    case 138:
        return "the broker has banned us: lift the ban there (its log says why), or use another broker";
    case 139:
        return "the broker shuts down";
    case 141:
        return "the broker heard nothing of us for too long";
    case 143:
    case 144:
        return "the broker takes no such topic: choose another one";
    case 149:
        return "a packet was too large for the broker";
    case 151:
        return "the broker's quota for us is used up: raise it there, or send less often";
    case 152:
        return "the broker's administrator ended the connection";
    case 158:
        return "the broker has no shared subscriptions: leave $share/ out";
    case 159:
        return "the broker wants us to connect less often: raise its limit of connections in a time";
    case 162:
        return "the broker has no wildcard subscriptions: name whole topics";
    default:
        return fmt::format("the broker refuses (reason 0x{:02x})", code);
    }
}

} // namespace

std::string mqtt_reason(int code, const BrokerSettings& settings)
{
    return settings.version == MqttVersion::v5 ? reason_5(code, settings) : reason_3(code, settings);
}

bool is_about_the_topic(int code)
{
    switch (code) {
    case 129: // malformed packet
    case 130: // protocol error
    case 143: // topic filter invalid
    case 144: // topic name invalid
    case 158: // no shared subscriptions
    case 162: // no wildcard subscriptions
        return true;
    default:
        return false;
    }
}

std::string topic_reason(int code, const BrokerSettings& settings)
{
    constexpr int failure = 128; // the only one of 3.1.1, which says no more
    constexpr int not_authorized = 135;
    if (code != not_authorized && (code != failure || settings.version == MqttVersion::v5))
        return mqtt_reason(code, settings);
    return fmt::format("not authorised: the broker's access list forbids it to {}: allow it there",
                       settings.username.empty() ? "anonymous clients" : "user " + settings.username);
}

} // namespace pulsemeter
