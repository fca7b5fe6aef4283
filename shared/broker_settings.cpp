#include "shared/broker_settings.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace pulsemeter {
namespace {

constexpr std::string_view plain_scheme = "mqtt://";
constexpr std::string_view tls_scheme = "mqtts://";
constexpr std::string_view allowed =
    "allowed: mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS, an IPv6 address in brackets";
constexpr std::size_t longest_username = 1024; // MQTT would allow 65,535

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
    BrokerUrl url;
    std::string_view rest = text;
    if (text.starts_with(plain_scheme)) {
        rest.remove_prefix(plain_scheme.size());
    } else if (text.starts_with(tls_scheme)) {
        rest.remove_prefix(tls_scheme.size());
        url.transport = Transport::tls;
        url.port = 8883;
    } else {
        refuse(text, "no broker URL");
    }
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
    return fmt::format("{}{}{}{}:{}", transport == Transport::tls ? tls_scheme : plain_scheme,
                       ipv6 ? "[" : "", host, ipv6 ? "]" : "", port);
}

namespace {

void read_login(ConfigFile::Table& table, BrokerSettings& settings)
{
    if (const auto name = table.string("username")) {
        const bool control = std::any_of(name->begin(), name->end(), [](char c) {
            return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
        });
        if (name->empty() || name->size() > longest_username || control) {
            table.refuse("username",
                         fmt::format("must be 1 to {} bytes without control characters; anonymous: "
                                     "leave it out",
                                     longest_username));
        }
        settings.username = *name;
    }
    settings.password_file = table.path("password_file").value_or("");
    if (!settings.password_file.empty() && settings.username.empty())
        table.refuse("password_file", "a password goes with a user name; add username = \"...\"");
}

void read_tls(ConfigFile::Table& table, BrokerSettings& settings)
{
    TlsFiles& tls = settings.tls;
    for (const auto& [key, path] :
         {std::pair("ca_file", &tls.ca_file), std::pair("ca_folder", &tls.ca_folder),
          std::pair("client_cert", &tls.client_cert), std::pair("client_key", &tls.client_key)}) {
        *path = table.path(key).value_or("");
        if (!path->empty() && settings.url.transport != Transport::tls)
            table.refuse(key, "is of no use without TLS; let the url begin with mqtts://, or leave this out");
    }
    if (!tls.ca_file.empty() && !tls.ca_folder.empty())
        table.refuse("ca_folder", "name a ca_file or a ca_folder, not both");
    if (tls.client_cert.empty() != tls.client_key.empty()) {
        table.refuse(tls.client_cert.empty() ? "client_key" : "client_cert",
                     "client_cert and client_key go together");
    }
}

} // namespace

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
    read_login(table, settings);
    read_tls(table, settings);
    return settings;
}

} // namespace pulsemeter
