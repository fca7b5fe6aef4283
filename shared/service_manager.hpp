// What systemd is told of a service (the datagrams of sd_notify(3), spoken here so that the Pi's one file needs no
// libsystemd): ready, how it goes, alive, ending. Where no service manager listens every call does nothing. A message
// that the manager does not take is let go: it never delays or ends the program. One thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace pulsemeter {

class ServiceManager {
public:
    ServiceManager(); // by NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment
    ~ServiceManager();
    ServiceManager(const ServiceManager&) = delete;
    ServiceManager& operator=(const ServiceManager&) = delete;

    void ready();
    void status(std::string_view words); // one line for `systemctl status`; the same again is not sent
    void alive();                        // feeds the watchdog: see Watchdog, which knows when
    void stopping();

    // How long it may hear nothing before it restarts us; nothing: it has no watchdog on us.
    [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_limit() const { return limit_; }

private:
    void send(std::string_view message);

    int socket_ = -1;
    std::string address_; // a sockaddr_un's path, '\0' in front where it is abstract
    std::optional<std::chrono::microseconds> limit_;
    std::string status_;
};

} // namespace pulsemeter
