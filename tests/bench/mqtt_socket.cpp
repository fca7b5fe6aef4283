#include "tests/bench/mqtt_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace pulsemeter::bench {
namespace {

constexpr std::uint8_t connack = 2;
constexpr std::uint8_t publish = 3;
constexpr std::uint8_t suback = 9;
constexpr int patience_ms = 10'000;

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

void append_number(std::string& to, std::size_t number)
{
    to += static_cast<char>(number >> 8U & 0xffU);
    to += static_cast<char>(number & 0xffU);
}

void append_text(std::string& to, std::string_view text)
{
    append_number(to, text.size());
    to += text;
}

std::string packet(std::uint8_t first, std::string_view body)
{
    std::string bytes(1, static_cast<char>(first));
    std::size_t left = body.size();
    do {
        const std::size_t digit = left % 128;
        left /= 128;
        bytes += static_cast<char>(left > 0 ? digit | 128U : digit);
    } while (left > 0);
    bytes += body;
    return bytes;
}

std::size_t byte(std::string_view bytes, std::size_t at)
{
    return static_cast<unsigned char>(bytes.at(at));
}

std::size_t number(std::string_view bytes, std::size_t at)
{
    return byte(bytes, at) << 8U | byte(bytes, at + 1);
}

} // namespace

std::string publish_packet(std::string_view topic, std::string_view payload, std::uint16_t id)
{
    std::string body;
    append_text(body, topic);
    append_number(body, id);
    body += payload;
    return packet(publish << 4U | 2U, body);
}

MqttSocket::MqttSocket(std::uint16_t port, const std::string& client_id)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    if (socket_ < 0 || ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
        ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        fail("connecting to the broker");
    std::string body;
    append_text(body, "MQTT");
    body += '\4';            // version 3.1.1
    body += '\2';            // clean session
    append_number(body, 60); // keep-alive, longer than any run is silent
    append_text(body, client_id);
    queue(packet(0x10, body));
    wait_for(connack);
}

MqttSocket::~MqttSocket()
{
    if (socket_ >= 0)
        ::close(socket_);
}

void MqttSocket::subscribe(std::span<const std::string> topics)
{
    std::string body;
    append_number(body, 1);
    for (const std::string& topic : topics) {
        append_text(body, topic);
        body += '\1';
    }
    queue(packet(0x82, body));
    wait_for(suback);
}

void MqttSocket::turn(const OnPublish& on_publish, const std::function<void()>& all_taken)
{
    send_some();
    pollfd ready{socket_, static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT), 0};
    if (::poll(&ready, 1, patience_ms) != 1)
        throw std::runtime_error("nothing came back for 10 s");
    if ((ready.revents & POLLIN) == 0)
        return;
    receive();
    for (std::string_view next = next_packet(); !next.empty(); next = next_packet()) {
        if (byte(next, 0) >> 4U != publish)
            continue;
        std::size_t at = 1;
        while ((byte(next, at++) & 128U) != 0) {
        }
        const std::size_t topic_size = number(next, at);
        const std::string_view topic = next.substr(at + 2, topic_size);
        at += 2 + topic_size;
        if ((byte(next, 0) & 6U) != 0) {
            out_ += packet(0x40, next.substr(at, 2));
            at += 2;
        }
        on_publish(topic, next.substr(at));
    }
    all_taken();
    send_some();
}

void MqttSocket::send_some()
{
    while (!out_.empty()) {
        const ssize_t sent = ::send(socket_, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0)
            fail("sending to the broker");
        out_.erase(0, static_cast<std::size_t>(sent));
    }
}

void MqttSocket::receive()
{
    in_.erase(0, taken_);
    taken_ = 0;
    const ssize_t count = ::recv(socket_, input_.data(), input_.size(), 0);
    if (count <= 0)
        fail("the broker has closed the connection");
    in_.append(input_.data(), static_cast<std::size_t>(count));
}

std::string_view MqttSocket::next_packet()
{
    const std::string_view rest = std::string_view(in_).substr(taken_);
    std::size_t length = 0;
    std::size_t at = 1;
    for (unsigned shift = 0;; shift += 7) {
        if (at >= rest.size())
            return {};
        const std::size_t digit = byte(rest, at++);
        length |= (digit & 127U) << shift;
        if (digit < 128)
            break;
    }
    if (rest.size() < at + length)
        return {};
    taken_ += at + length;
    return rest.substr(0, at + length);
}

void MqttSocket::wait_for(std::uint8_t type)
{
    while (true) {
        send_some();
        for (std::string_view next = next_packet(); !next.empty(); next = next_packet()) {
            if (byte(next, 0) >> 4U == type)
                return;
        }
        receive();
    }
}

} // namespace pulsemeter::bench
