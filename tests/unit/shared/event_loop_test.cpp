#include "shared/event_loop.hpp"
#include "surroundings.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <pty.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

namespace pulsemeter {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto never = steady_clock::time_point::max();

steady_clock::time_point soon()
{
    return steady_clock::now() + milliseconds(20);
}

void wait_for_input()
{
    pollfd input{STDIN_FILENO, POLLIN, 0};
    BOOST_REQUIRE(::poll(&input, 1, -1) == 1);
}

enum Verdict : int { as_expected = 0, wrong = 1 };

int verdict(bool right)
{
    return right ? as_expected : wrong;
}

// Runs `body` in a process of its own whose stdin is a terminal on which `typed` was typed.
int at_a_terminal(std::string_view typed, const std::function<int()>& body)
{
    int terminal = -1;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    BOOST_REQUIRE(child >= 0);
    if (child == 0)
        ::_exit(body());
    BOOST_REQUIRE(::write(terminal, typed.data(), typed.size()) == static_cast<ssize_t>(typed.size()));
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    ::close(terminal);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int with_input_from(int descriptor, const std::function<int()>& body)
{
    const pid_t child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(descriptor, STDIN_FILENO);
        ::_exit(body());
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

BOOST_AUTO_TEST_SUITE(event_loop)

BOOST_AUTO_TEST_CASE(a_wait_ends_at_its_deadline_not_before)
{
    EventLoop loop;
    for (int turn = 0; turn < 3; ++turn) {
        const auto deadline = soon();
        loop.wait_until(deadline);
        BOOST_TEST((steady_clock::now() >= deadline));
    }
    BOOST_TEST(!loop.stop_requested());
}

BOOST_AUTO_TEST_CASE(a_deadline_that_has_passed_does_not_wait)
{
    EventLoop loop;
    loop.wait_until(steady_clock::now());
    loop.wait_until(steady_clock::time_point{});
    loop.wait_until(steady_clock::time_point::min());
    BOOST_TEST(!loop.stop_requested()); // reached: nothing above hung
}

BOOST_AUTO_TEST_CASE(a_wake_of_another_thread_ends_the_wait)
{
    EventLoop loop;
    for (int turn = 0; turn < 100; ++turn) {
        std::thread other([&] { loop.wake(); });
        loop.wait_until(never);
        other.join();
    }
    BOOST_TEST(!loop.stop_requested()); // reached: no wake was lost
}

BOOST_AUTO_TEST_CASE(a_wake_before_the_wait_is_not_lost_and_many_are_one)
{
    EventLoop loop;
    for (int wake = 0; wake < 1000; ++wake)
        loop.wake();
    loop.wait_until(never);
    const auto deadline = soon();
    loop.wait_until(deadline);
    BOOST_TEST((steady_clock::now() >= deadline));
}

BOOST_AUTO_TEST_CASE(no_wake_is_lost_under_load)
{
    EventLoop loop;
    constexpr int rounds = 20'000;
    std::atomic<int> made = 0;
    std::vector<std::thread> others;
    for (int thread = 0; thread < 2; ++thread) {
        others.emplace_back([&] {
            for (int round = 0; round < rounds; ++round) {
                ++made;
                loop.wake();
            }
        });
    }
    while (made < 2 * rounds)
        loop.wait_until(never); // a lost wake hangs here
    for (auto& other : others)
        other.join();
    BOOST_TEST(!loop.stop_requested());
}

BOOST_AUTO_TEST_CASE(SIGINT_and_SIGTERM_ask_for_the_end)
{
    for (const int signal : {SIGINT, SIGTERM}) {
        EventLoop loop;
        BOOST_REQUIRE(::raise(signal) == 0);
        loop.wait_until(never);
        BOOST_TEST(loop.stop_requested());
        loop.wait_until(never); // no wait any more
        BOOST_REQUIRE(::raise(signal) == 0);
        loop.wait_until(never);
    }
}

BOOST_AUTO_TEST_CASE(a_signal_is_seen_by_a_loop_that_never_has_time_to_wait)
{
    EventLoop loop;
    BOOST_REQUIRE(::raise(SIGTERM) == 0);
    for (int turn = 0; turn < 1000 && !loop.stop_requested(); ++turn)
        loop.wait_until(steady_clock::time_point::min());
    BOOST_TEST(loop.stop_requested());
}

BOOST_AUTO_TEST_CASE(a_closed_connection_is_an_error_not_a_signal)
{
    const EventLoop loop;
    std::array<int, 2> ends{};
    BOOST_REQUIRE(::pipe(ends.data()) == 0);
    ::close(ends[0]);
    BOOST_TEST(::write(ends[1], "x", 1) == -1);
    BOOST_TEST(errno == EPIPE);
    ::close(ends[1]);
}

BOOST_AUTO_TEST_CASE(enter_on_a_terminal_asks_for_the_end)
{
    const auto body = [] {
        EventLoop loop;
        loop.stop_on_enter();
        loop.wait_until(never);
        return verdict(loop.stop_requested());
    };
    BOOST_TEST(at_a_terminal("\n", body) == as_expected);
    BOOST_TEST(at_a_terminal("words\n", body) == as_expected);
    const std::string long_line = fmt::format("{:x>2000}\n", "");
    BOOST_TEST(at_a_terminal(long_line, body) == as_expected);
}

BOOST_AUTO_TEST_CASE(enter_is_seen_by_a_loop_that_is_always_woken)
{
    BOOST_TEST(at_a_terminal("\n", [] {
                   EventLoop loop;
                   loop.stop_on_enter();
                   wait_for_input();
                   for (int turn = 0; turn < 1000 && !loop.stop_requested(); ++turn) {
                       loop.wake();
                       loop.wait_until(never);
                   }
                   return verdict(loop.stop_requested());
               }) == as_expected);
}

BOOST_AUTO_TEST_CASE(enter_is_nothing_where_it_was_not_asked_for)
{
    BOOST_TEST(at_a_terminal("\n", [] {
                   EventLoop loop;
                   wait_for_input();
                   loop.wait_until(soon());
                   return verdict(!loop.stop_requested());
               }) == as_expected);
}

BOOST_AUTO_TEST_CASE(end_of_input_is_not_enter)
{
    const auto body = [] {
        EventLoop loop;
        loop.stop_on_enter();
        wait_for_input();
        loop.wait_until(soon());
        loop.wait_until(soon());
        return verdict(!loop.stop_requested());
    };
    BOOST_TEST(at_a_terminal("\x04", body) == as_expected);
    BOOST_TEST(at_a_terminal("words\x04", body) == as_expected);
}

BOOST_AUTO_TEST_CASE(enter_after_the_end_of_input_asks_for_the_end)
{
    const auto body = [] {
        EventLoop loop;
        loop.stop_on_enter();
        for (int turn = 0; turn < 100 && !loop.stop_requested(); ++turn)
            loop.wait_until(soon());
        return verdict(loop.stop_requested());
    };
    BOOST_TEST(at_a_terminal("\x04\n", body) == as_expected);
}

BOOST_AUTO_TEST_CASE(the_terminal_of_the_shell_stays_blocking)
{
    BOOST_TEST(at_a_terminal("", [] {
                   EventLoop loop;
                   loop.stop_on_enter();
                   loop.wait_until(soon());
                   return verdict((::fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK) == 0);
               }) == as_expected);
}

BOOST_AUTO_TEST_CASE(what_is_no_terminal_is_not_read)
{
    std::array<int, 2> ends{};
    BOOST_REQUIRE(::pipe(ends.data()) == 0);
    BOOST_REQUIRE(::write(ends[1], "\n", 1) == 1);
    BOOST_TEST(with_input_from(ends[0], [] {
                   EventLoop loop;
                   loop.stop_on_enter();
                   loop.wait_until(soon());
                   return verdict(!loop.stop_requested());
               }) == as_expected);
    char left = 0;
    BOOST_TEST(::read(ends[0], &left, 1) == 1); // still there
    ::close(ends[0]);
    ::close(ends[1]);

    const int null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    BOOST_TEST(with_input_from(null, [] {
                   EventLoop loop;
                   loop.stop_on_enter();
                   loop.wait_until(soon());
                   return verdict(!loop.stop_requested());
               }) == as_expected);
    ::close(null);
}

// In the background: a line that is typed there is not ours, and reading it would stop us. Back in the
// foreground it is.
BOOST_AUTO_TEST_CASE(a_background_job_leaves_the_terminal_alone_until_it_is_in_the_foreground)
{
    const auto job = [](int to_shell, int from_shell) {
        EventLoop loop;
        loop.stop_on_enter();
        wait_for_input();
        loop.wait_until(soon());
        const bool left_alone = !loop.stop_requested();
        char byte = 0;
        if (::write(to_shell, "x", 1) != 1 || ::read(from_shell, &byte, 1) != 1)
            return wrong + 10;
        loop.wait_until(never);
        return verdict(left_alone && loop.stop_requested());
    };
    const auto shell = [&] {
        std::array<int, 2> up{};
        std::array<int, 2> down{};
        if (::pipe(up.data()) != 0 || ::pipe(down.data()) != 0)
            return wrong + 20;
        const pid_t child = ::fork();
        if (child == 0) {
            ::setpgid(0, 0);
            ::_exit(job(up[1], down[0]));
        }
        ::setpgid(child, child);
        ::close(up[1]); // a job that was stopped by SIGTTIN is seen by waitpid below
        std::thread answer([&] {
            char byte = 0;
            if (::read(up[0], &byte, 1) == 1) {
                ::tcsetpgrp(STDIN_FILENO, child);
                static_cast<void>(::write(down[1], "x", 1));
            }
        });
        int status = 0;
        ::waitpid(child, &status, WUNTRACED);
        if (WIFSTOPPED(status)) {
            ::kill(child, SIGKILL);
            ::waitpid(child, nullptr, 0);
        }
        answer.join();
        return WIFEXITED(status) ? WEXITSTATUS(status) : wrong + 30;
    };
    BOOST_TEST(at_a_terminal("\n", shell) == as_expected);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
