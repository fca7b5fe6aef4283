#include "shared/connection_trouble.hpp"

#include "shared/crypto/tls_handshake.hpp"

#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

namespace pulsemeter {
namespace {

constexpr std::chrono::seconds patience{
    3}; // for each of: connecting, the handshake's packets, what comes then

class Socket {
public:
    explicit Socket(int descriptor) : descriptor_(descriptor) {}
    ~Socket() { ::close(descriptor_); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    void wait_at_most(std::chrono::seconds time) const
    {
        const timeval limit{time.count(), 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        ::fcntl(descriptor_, F_SETFL, 0); // not O_NONBLOCK any more
    }

private:
    int descriptor_;
};

} // namespace

std::optional<std::string> why_unreachable(const BrokerAddress& address, std::chrono::milliseconds within)
{
    const auto descriptor = connected_socket(address, within);
    if (!descriptor)
        return descriptor.error();
    ::close(*descriptor);
    return std::nullopt;
}

std::string why_tls_failed(const BrokerAddress& address, const BrokerSettings& settings)
{
    const auto descriptor = connected_socket(address, patience);
    if (!descriptor)
        return descriptor.error();
    const Socket socket(*descriptor);
    socket.wait_at_most(patience);
    try {
        return crypto::why_tls_fails(*descriptor, settings).value_or(why_broken_off(settings));
    } catch (const std::exception& error) { // a file is gone, say
        return error.what();
    }
}

std::string why_broken_off(const BrokerSettings& settings)
{
    std::string text = "the broker ends the connection at once: if ";
    text += settings.version == MqttVersion::v5
                ? "it is an older one, set mqtt_version = \"3.1.1\" in [broker]"
                : "it is no MQTT broker, correct host and port in url";
    if (settings.url.transport == Transport::plain)
        text += "; if it wants TLS, let the url begin with mqtts://";
    return text;
}

} // namespace pulsemeter
