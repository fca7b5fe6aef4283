#include "shared/broker_settings.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace pulsemeter {
namespace {

constexpr std::string_view scheme = "mqtt://";
constexpr std::string_view allowed = "allowed: mqtt://HOST or mqtt://HOST:PORT, an IPv6 address in brackets";

[[noreturn]] void refuse(std::string_view text, std::string_view what)
{
    throw UsageError(fmt::format("\"{}\": {}; {}", text, what, allowed));
}

bool is_host_name(std::string_view host)
{
    const auto is_host_character = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '.' || c == '_';
    };
    return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), is_host_character);
}

bool is_ipv6_address(std::string_view host)
{
    if (host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos)
        return false; // a NUL in it would end what inet_pton sees
    std::array<unsigned char, 16> address{};
    return ::inet_pton(AF_INET6, std::string(host).c_str(), address.data()) == 1;
}

} // namespace

BrokerUrl BrokerUrl::parse(std::string_view text)
{
    if (text.find('@') != std::string_view::npos) { // not quoted: what stands before the @ may be a password
        throw UsageError(fmt::format(
            "a broker URL takes no user name or password, others could read it there; {}", allowed));
    }
    for (const std::string_view tls : {"mqtts://", "ssl://", "tls://", "wss://"}) {
        if (text.starts_with(tls))
            refuse(text, "TLS is not supported yet in this version (what is sent is sealed without it)");
    }
    if (!text.starts_with(scheme))
        refuse(text, "no broker URL");

    BrokerUrl url;
    std::string_view rest = text.substr(scheme.size());
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos || !is_ipv6_address(rest.substr(1, end - 1)))
            refuse(text, "no IPv6 address in the brackets");
        url.host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        const auto colon = rest.find(':');
        url.host = rest.substr(0, colon);
        if (!is_host_name(url.host))
            refuse(text, "no host name or address");
        rest.remove_prefix(url.host.size());
    }
    if (rest.empty())
        return url;

    if (!rest.starts_with(':'))
        refuse(text, "more than a host and a port");
    const char* end = rest.data() + rest.size();
    const auto [stopped, error] = std::from_chars(rest.data() + 1, end, url.port);
    if (error != std::errc{} || stopped != end || url.port == 0)
        refuse(text, "the port is no number from 1 to 65535");
    return url;
}

std::string BrokerUrl::text() const
{
    const bool ipv6 = host.find(':') != std::string::npos;
    return fmt::format("{}{}{}{}:{}", scheme, ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
}

BrokerSettings read_broker(ConfigFile::Table table)
{
    BrokerSettings settings;
    const std::string url = table.required_string("url");
    try {
        settings.url = BrokerUrl::parse(url);
    } catch (const UsageError& error) {
        table.refuse("url", error.what());
    }
    const std::string version = table.string("mqtt_version").value_or("5");
    if (version != "5" && version != "3.1.1")
        table.refuse("mqtt_version", "unknown; allowed: \"5\" or \"3.1.1\"");
    settings.version = version == "5" ? MqttVersion::v5 : MqttVersion::v3_1_1;
    return settings;
}

} // namespace pulsemeter
