#include "shared/event_loop.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string_view>

namespace pulsemeter {
namespace {

using boost::system::error_code;

// A background job that reads its terminal is stopped by SIGTTIN. A terminal that is not ours to be stopped
// by (ENOTTY) may always be read.
bool may_read_terminal()
{
    const pid_t foreground = ::tcgetpgrp(STDIN_FILENO);
    return foreground == ::getpgrp() || (foreground < 0 && errno == ENOTTY);
}

// A descriptor of our own: Asio makes it non-blocking, and the one that we inherited is shared with the
// shell.
int open_terminal()
{
    const bool controlling = ::tcgetpgrp(STDIN_FILENO) >= 0;
    return ::open(controlling ? "/dev/tty" : "/proc/self/fd/0", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

} // namespace

struct EventLoop::Impl {
    boost::asio::io_context io{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
    boost::asio::signal_set signals{io, SIGINT, SIGTERM};
    boost::asio::steady_timer timer{io};
    std::optional<boost::asio::posix::stream_descriptor> terminal;
    bool watching_terminal = false;
    bool stop = false;
    std::atomic<bool> woken = false;

    void watch_terminal()
    {
        if (!terminal || watching_terminal || !may_read_terminal())
            return;
        watching_terminal = true;
        terminal->async_wait(boost::asio::posix::stream_descriptor::wait_read,
                             [this](const error_code& error) {
                                 watching_terminal = false;
                                 if (error) {
                                     terminal.reset();
                                 } else if (may_read_terminal()) { // else the next turn looks again
                                     read_terminal();
                                 }
                             });
    }

    bool terminal_is_there()
    {
        pollfd state{terminal->native_handle(), 0, 0};
        return ::poll(&state, 1, 0) >= 0 && (state.revents & (POLLHUP | POLLERR | POLLNVAL)) == 0;
    }

    void read_terminal()
    {
        std::array<char, 512> typed{};
        const ssize_t count = ::read(terminal->native_handle(), typed.data(), typed.size());
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (count == 0 && terminal_is_there())
            return; // Ctrl-D: what is typed next counts again
        if (count <= 0) {
            terminal.reset(); // it is gone
        } else if (std::string_view(typed.data(), static_cast<std::size_t>(count)).find('\n') !=
                   std::string_view::npos) {
            stop = true;
        }
    }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>())
{
    // A broker that closes its connection must not end us.
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    impl_->signals.async_wait([impl = impl_.get()](const error_code& error, int) { impl->stop |= !error; });
}

EventLoop::~EventLoop() = default;

void EventLoop::stop_on_enter()
{
    if (impl_->terminal || ::isatty(STDIN_FILENO) == 0)
        return;
    const int descriptor = open_terminal();
    if (descriptor >= 0)
        impl_->terminal.emplace(impl_->io, descriptor);
}

void EventLoop::wake()
{
    if (!impl_->woken.exchange(true))
        boost::asio::post(impl_->io, [] {});
}

void EventLoop::wait_until(std::chrono::steady_clock::time_point deadline)
{
    // Not run_one_until: that wakes up once a second to look at the clock.
    bool passed = false;
    impl_->timer.expires_at(deadline);
    impl_->timer.async_wait([&passed](const error_code& error) { passed |= !error; });
    impl_->watch_terminal();
    while (!impl_->woken.exchange(false) && !passed && !impl_->stop) {
        impl_->io.run_one();
        impl_->watch_terminal();
    }
    impl_->timer.cancel();
    // Runs the cancelled wait, which refers to `passed`, and lets a loop that never has to wait see signals and Enter.
    impl_->io.poll();
}

bool EventLoop::stop_requested() const
{
    return impl_->stop;
}

} // namespace pulsemeter
