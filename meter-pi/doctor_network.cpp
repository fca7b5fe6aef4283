#include "meter-pi/doctor.hpp"
#include "shared/broker_files.hpp"
#include "shared/connection_trouble.hpp"

#include <fmt/core.h>

namespace pulsemeter::doctor {
namespace {
constexpr std::chrono::seconds connect_within{5};

std::filesystem::path whole(const std::filesystem::path& path)
{
    return std::filesystem::absolute(path).lexically_normal();
}

// What the packaged service is not handed, although we can read it.
std::optional<std::filesystem::path> kept_from_service(const BrokerSettings& broker,
                                                       const std::filesystem::path& config)
{
    if (whole(config) != "/etc/pulsemeter/meter.toml")
        return std::nullopt;
    for (const auto& file :
         {broker.password_file, broker.tls.ca_file, broker.tls.client_cert, broker.tls.client_key}) {
        if (!file.empty() && whole(file).parent_path() == "/etc/pulsemeter")
            return file;
    }
    return std::nullopt;
}
} // namespace

Finding broker_files(const BrokerSettings& broker, const std::filesystem::path& config)
{
    const std::string name = "broker files";
    if (const auto file = kept_from_service(broker, config))
        return wrong(name, file->string() + " is not handed to the service", how_to_hand_over(*file));
    try {
        check_broker_files(broker);
    } catch (const std::exception& failure) {
        return wrong(name, failure.what());
    }
    const bool any = !broker.password_file.empty() || broker.url.transport == Transport::tls;
    return any ? well(name, "there, and can be read") : not_looked_at(name, "[broker] names none");
}

std::vector<Finding> network(const BrokerUrl& url)
{
    const auto addresses = look_up(url);
    if (!addresses) {
        return {wrong("broker resolves", addresses.error()),
                not_looked_at("broker connects", "its address is not known")};
    }
    Finding resolves = well("broker resolves", numeric_address(url) ? url.host + " is an address"
                                                                    : fmt::format("{} is {}", url.host,
                                                                                  addresses->front().uri()));
    std::string why;
    for (const BrokerAddress& address : *addresses) {
        const auto unreachable = why_unreachable(address, connect_within);
        if (!unreachable)
            return {resolves, well("broker connects", address.uri())};
        why = fmt::format("{}: {}", address.uri(), *unreachable);
    }
    return {resolves, wrong("broker connects", why)};
}

} // namespace pulsemeter::doctor
