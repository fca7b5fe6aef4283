#include "shared/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace pulsemeter {
namespace {

std::string_view variable(const char* name)
{
    const char* value = std::getenv(name);
    return value == nullptr ? std::string_view() : value;
}

std::optional<std::int64_t> number(std::string_view text)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
    if (text.empty() || error != std::errc() || end != text.end())
        return std::nullopt;
    return value;
}

std::optional<std::chrono::microseconds> limit_of_environment()
{
    const auto limit = number(variable("WATCHDOG_USEC"));
    const std::string_view whose = variable("WATCHDOG_PID"); // a parent's would not be about us
    if (!limit || *limit <= 0 || (!whose.empty() && number(whose) != ::getpid()))
        return std::nullopt;
    return std::chrono::microseconds(*limit);
}

} // namespace

ServiceManager::ServiceManager() : address_(variable("NOTIFY_SOCKET"))
{
    if (address_.empty() || (address_[0] != '/' && address_[0] != '@') ||
        address_.size() >= sizeof(sockaddr_un::sun_path)) // anything else is no socket that we could speak to
        return;
    if (address_[0] == '@')
        address_[0] = '\0';
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socket_ >= 0)
        limit_ = limit_of_environment();
}

ServiceManager::~ServiceManager()
{
    if (socket_ >= 0)
        ::close(socket_);
}

void ServiceManager::ready()
{
    send("READY=1");
}

void ServiceManager::status(std::string_view words)
{
    if (words == status_)
        return;
    status_ = words;
    std::string line(words); // a line break would begin another assignment
    std::replace(line.begin(), line.end(), '\n', ' ');
    send("STATUS=" + line);
}

void ServiceManager::alive()
{
    send("WATCHDOG=1");
}

void ServiceManager::stopping()
{
    send("STOPPING=1");
}

void ServiceManager::send(std::string_view message)
{
    if (socket_ < 0)
        return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, address_.data(), address_.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    static_cast<void>(::sendto(socket_, message.data(), message.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&to), size));
}

} // namespace pulsemeter
