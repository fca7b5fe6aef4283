#include "meter-pi/doctor.hpp"
#include "shared/connection_trouble.hpp"

#include <fmt/core.h>

namespace pulsemeter::doctor {
namespace {
constexpr std::chrono::seconds connect_within{5};
} // namespace

std::vector<Finding> network(const BrokerUrl& url)
{
    const auto addresses = look_up(url);
    if (!addresses) {
        return {wrong("broker resolves", fmt::format("{}: {}", url.host, addresses.error()),
                      "check the name in [broker] and the network's DNS"),
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
    return {resolves,
            wrong("broker connects", why, "is the broker running, its port right, no firewall between?")};
}

} // namespace pulsemeter::doctor
