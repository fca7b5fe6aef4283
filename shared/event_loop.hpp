// The one loop a program has: waits for a deadline, another thread's wake(), SIGINT or SIGTERM, or the user's Enter.
// One thread waits; wake() may be called from any thread, also from a paho callback (it never blocks).
#pragma once

#include <chrono>
#include <memory>

namespace pulsemeter {

class EventLoop {
public:
    EventLoop(); // takes over SIGINT and SIGTERM, ignores SIGPIPE
    ~EventLoop();
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // Enter on a terminal ends the program as well; end of input does not, and what is no terminal is not read.
    void stop_on_enter();

    void wake();

    // Returns at the deadline, on a wake (many wakes may be one return), or when the end was asked for.
    void wait_until(std::chrono::steady_clock::time_point deadline);

    [[nodiscard]] bool stop_requested() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter
