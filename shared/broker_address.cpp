#include "shared/broker_address.hpp"

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>

namespace pulsemeter {
namespace {

constexpr std::size_t most_addresses = 4; // each may take its full time to time out

BrokerAddresses addresses_of(const BrokerUrl& url, int flags)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found);
    if (error == EAI_NONAME)
        return tl::unexpected(fmt::format("the name {} is unknown", url.host));
    if (error != 0) {
        return tl::unexpected(
            fmt::format("the name {} can't be looked up: {}", url.host, ::gai_strerror(error)));
    }

    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, &::freeaddrinfo);
    std::vector<BrokerAddress> addresses;
    for (const addrinfo* entry = found; entry != nullptr && addresses.size() < most_addresses;
         entry = entry->ai_next) {
        BrokerAddress address;
        std::memcpy(&address.socket, entry->ai_addr, entry->ai_addrlen);
        address.length = entry->ai_addrlen;
        addresses.push_back(address);
    }
    return addresses;
}

const sockaddr* generic(const sockaddr_storage& socket)
{
    return reinterpret_cast<const sockaddr*>(&socket);
}

std::string message_of(int error)
{
    std::string text = std::generic_category().message(error);
    if (!text.empty() && text.front() >= 'A' && text.front() <= 'Z')
        text.front() = static_cast<char>(text.front() - 'A' + 'a');
    return text;
}

bool is_connected_to(int descriptor, const BrokerAddress& address)
{
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    return ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) == 0 &&
           length == address.length && std::memcmp(&peer, &address.socket, length) == 0;
}

} // namespace

std::string BrokerAddress::uri() const
{
    std::array<char, NI_MAXHOST> host{};
    std::array<char, NI_MAXSERV> port{};
    ::getnameinfo(generic(socket), length, host.data(), host.size(), port.data(), port.size(),
                  NI_NUMERICHOST | NI_NUMERICSERV);
    const bool ipv6 = socket.ss_family == AF_INET6;
    return fmt::format("tcp://{}{}{}:{}", ipv6 ? "[" : "", host.data(), ipv6 ? "]" : "", port.data());
}

BrokerAddresses look_up(const BrokerUrl& url)
{
    return addresses_of(url, 0);
}

std::optional<BrokerAddress> numeric_address(const BrokerUrl& url)
{
    const auto addresses = addresses_of(url, AI_NUMERICHOST);
    return addresses ? std::optional(addresses->front()) : std::nullopt;
}

std::optional<std::string> why_unreachable(const BrokerAddress& address, std::chrono::milliseconds within)
{
    const int descriptor = ::socket(address.socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return message_of(errno);
    int error = ::connect(descriptor, generic(address.socket), address.length) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        pollfd ready{descriptor, POLLOUT, 0};
        socklen_t length = sizeof(error);
        if (::poll(&ready, 1, static_cast<int>(within.count())) != 1) {
            error = ETIMEDOUT;
        } else if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
            error = errno;
        }
    }
    ::close(descriptor);
    return error == 0 ? std::nullopt : std::optional(message_of(error));
}

std::size_t send_small_packets_at_once(const BrokerAddress& address)
{
    std::size_t count = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
        const std::string name = entry.path().filename().string();
        int descriptor = -1;
        std::from_chars(name.data(), name.data() + name.size(), descriptor);
        const int on = 1;
        if (is_connected_to(descriptor, address) &&
            ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0)
            ++count;
    }
    return count;
}

} // namespace pulsemeter
