// A port of this machine that is the test's own; nobody listens there until the test does.
#pragma once

#include "shared/broker_settings.hpp"

#include <boost/test/unit_test.hpp>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace pulsemeter {

class LoopbackPort {
public:
    LoopbackPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof(address);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        BOOST_REQUIRE(::bind(socket_, generic, length) == 0);
        BOOST_REQUIRE(::getsockname(socket_, generic, &length) == 0);
        number_ = ntohs(address.sin_port);
    }
    ~LoopbackPort() { close(); }
    LoopbackPort(const LoopbackPort&) = delete;
    LoopbackPort& operator=(const LoopbackPort&) = delete;
    void close()
    {
        if (const int socket = std::exchange(socket_, -1); socket >= 0)
            ::close(socket);
    }
    [[nodiscard]] int socket() const { return socket_; }
    [[nodiscard]] std::uint16_t number() const { return number_; }
    [[nodiscard]] BrokerSettings settings(MqttVersion version = MqttVersion::v5) const
    {
        return {{"127.0.0.1", number_}, version};
    }

private:
    int socket_;
    std::uint16_t number_ = 0;
};

} // namespace pulsemeter
