// ServiceManager against a real socket, and the Watchdog's rule.
#include "shared/service_manager.hpp"
#include "shared/watchdog.hpp"
#include "surroundings.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <vector>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;
using Messages = std::vector<std::string>;

// What systemd would be: a socket, and the three variables as long as it lives.
class Manager {
public:
    explicit Manager(const char* limit_us = nullptr, const std::string& pid = std::to_string(::getpid()))
    {
        const std::string path = (folder_.path() / "notify").string();
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.data(), path.size());
        socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        BOOST_REQUIRE(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
        if (limit_us != nullptr) {
            ::setenv("WATCHDOG_USEC", limit_us, 1);
            ::setenv("WATCHDOG_PID", pid.c_str(), 1);
        }
    }
    ~Manager()
    {
        for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
            ::unsetenv(name);
        ::close(socket_);
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    Messages heard() // since it was last asked
    {
        Messages messages;
        std::string buffer(256, '\0');
        for (;;) {
            const ssize_t size = ::recv(socket_, buffer.data(), buffer.size(), 0);
            if (size < 0)
                return messages;
            messages.push_back(buffer.substr(0, static_cast<std::size_t>(size)));
        }
    }

private:
    TemporaryFolder folder_;
    int socket_ = -1;
};

const Watchdog::SteadyTime start{1'000s};

} // namespace

BOOST_AUTO_TEST_SUITE(service_manager)

BOOST_AUTO_TEST_CASE(says_each_thing_in_a_message_of_its_own_and_a_status_once)
{
    Manager systemd;
    ServiceManager manager;
    manager.ready();
    manager.status("sensor ok");
    manager.status("sensor ok");
    manager.status("two\nlines");
    manager.alive();
    manager.stopping();
    BOOST_TEST(systemd.heard() ==
                   (Messages{"READY=1", "STATUS=sensor ok", "STATUS=two lines", "WATCHDOG=1", "STOPPING=1"}),
               boost::test_tools::per_element());
    BOOST_TEST(!manager.watchdog_limit().has_value());
}

BOOST_AUTO_TEST_CASE(reaches_an_abstract_socket)
{
    const std::string name = "@pulsemeter-test-" + std::to_string(::getpid());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data() + 1, name.size() - 1);
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    BOOST_REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0);
    ::setenv("NOTIFY_SOCKET", name.c_str(), 1);
    ServiceManager().ready();
    ::unsetenv("NOTIFY_SOCKET");
    char buffer[16];
    BOOST_TEST(::recv(socket, buffer, sizeof buffer, 0) == 7);
    ::close(socket);
}

BOOST_AUTO_TEST_CASE(is_silent_where_nobody_listens)
{
    const std::string too_long(200, '/');
    for (const char* address : {"", "/nowhere/notify", "vsock:2:1", too_long.c_str()}) {
        ::setenv("NOTIFY_SOCKET", address, 1);
        ServiceManager manager;
        manager.ready();
        manager.alive();
        ::unsetenv("NOTIFY_SOCKET");
    }
    ServiceManager().ready();
}

BOOST_AUTO_TEST_CASE(knows_a_watchdog_that_is_about_this_process)
{
    {
        const Manager systemd("120000000");
        BOOST_TEST((ServiceManager().watchdog_limit() == std::chrono::microseconds(120s)));
    }
    {
        const Manager systemd("120000000", "1");
        BOOST_TEST(!ServiceManager().watchdog_limit().has_value());
    }
    for (const char* nonsense : {"0", "-1", "", "2 min"}) {
        const Manager systemd(nonsense);
        BOOST_TEST(!ServiceManager().watchdog_limit().has_value());
    }
}

BOOST_AUTO_TEST_CASE(H2_the_watchdog_is_fed_only_when_both_threads_have_turned_since)
{
    Manager systemd("120000000");
    ServiceManager manager;
    Watchdog watchdog(manager);
    watchdog.turned(start, 0); // the edge thread has not come round yet
    BOOST_TEST(systemd.heard().empty());
    watchdog.turned(start + 1s, 1);
    BOOST_TEST(systemd.heard().size() == 1U);

    watchdog.turned(start + 2s, 2); // fed a moment ago
    BOOST_TEST(systemd.heard().empty());
    BOOST_TEST((watchdog.next_deadline() == start + 32s));
    watchdog.turned(start + 32s, 30);
    BOOST_TEST(systemd.heard().size() == 1U);

    for (auto later = 62s; later < 500s; later += 10s) // the edge thread stands still, the loop does not
        watchdog.turned(start + later, 30);
    BOOST_TEST(systemd.heard().empty());
    watchdog.turned(start + 501s, 31);
    BOOST_TEST(systemd.heard().size() == 1U);
}

BOOST_AUTO_TEST_CASE(H2_a_program_of_one_loop_feeds_by_its_turns_alone)
{
    Manager systemd("120000000");
    ServiceManager manager;
    Watchdog watchdog(manager);
    for (auto later = 0s; later <= 120s; later += 1s)
        watchdog.turned(start + later);
    BOOST_TEST(systemd.heard().size() == 5U); // at 0, 30, 60, 90 and 120 s
}

BOOST_AUTO_TEST_CASE(H2_without_a_watchdog_nothing_is_fed_and_the_loop_may_sleep)
{
    Manager systemd;
    ServiceManager manager;
    Watchdog watchdog(manager);
    watchdog.turned(start);
    BOOST_TEST(systemd.heard().empty());
    BOOST_TEST((watchdog.next_deadline() == Watchdog::SteadyTime::max()));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace pulsemeter
