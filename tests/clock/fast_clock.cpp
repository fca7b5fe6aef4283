// To be preloaded: a program's clocks run fast for a while, and at their usual pace again, without a step between. Both
// of its clocks, and everything in it that waits, see the same; so a day passes in half a minute.
//
//   LD_PRELOAD=libfast_clock.so FAST_CLOCK=FILE program
//
// FILE holds four 64-bit integers: since when and until when (in ns of the real CLOCK_MONOTONIC; the greatest number for
// what is not known yet) the clocks run `rate` times as fast, and how many ns CLOCK_REALTIME was put back at first. Both
// instants may be set at any time, while they are still to come.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct Pace {
    std::int64_t since;
    std::int64_t until;
    std::int64_t rate;
    std::int64_t put_back;
};

const volatile Pace& pace()
{
    static const auto* const shared = [] {
        const char* name = std::getenv("FAST_CLOCK");
        const int file = name != nullptr ? ::open(name, O_RDONLY | O_CLOEXEC) : -1;
        void* memory = ::mmap(nullptr, sizeof(Pace), PROT_READ, MAP_SHARED, file, 0);
        if (file < 0 || memory == MAP_FAILED)
            std::abort(); // nothing would be tested
        ::close(file);
        return static_cast<const volatile Pace*>(memory);
    }();
    return *shared;
}

std::int64_t nanoseconds(const timespec& time)
{
    return time.tv_sec * second + time.tv_nsec;
}

timespec time_of(std::int64_t nanoseconds)
{
    return {nanoseconds / second, nanoseconds % second};
}

// The system call: whatever else there is may be one of those below.
std::int64_t real(clockid_t clock)
{
    timespec time{};
    ::syscall(SYS_clock_gettime, clock, &time);
    return nanoseconds(time);
}

bool is_fast(std::int64_t now)
{
    return now >= pace().since && now < pace().until;
}

std::int64_t shown(clockid_t clock)
{
    const std::int64_t now = real(CLOCK_MONOTONIC);
    const std::int64_t since = pace().since;
    const std::int64_t until = pace().until;
    const std::int64_t ahead = std::max<std::int64_t>(std::min(now, until) - since, 0) * (pace().rate - 1);
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return real(clock) + ahead - pace().put_back;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
        return real(clock) + ahead;
    default: // a thread's CPU time, say
        return real(clock);
    }
}

// How long that takes in reality; never nothing, which would mean "not at all" to a timer.
std::int64_t really(std::int64_t duration)
{
    return duration <= 0 || !is_fast(real(CLOCK_MONOTONIC))
               ? duration
               : std::max<std::int64_t>(duration / pace().rate, 1);
}

std::int64_t really_until(clockid_t clock, const timespec& deadline)
{
    return real(clock) + really(nanoseconds(deadline) - shown(clock));
}

template <typename Function>
Function* next(const char* name)
{
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

} // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* time) noexcept
{
    *time = time_of(shown(clock));
    return 0;
}

time_t time(time_t* result) noexcept
{
    const time_t now = shown(CLOCK_REALTIME) / second;
    if (result != nullptr)
        *result = now;
    return now;
}

int nanosleep(const timespec* duration, timespec*)
{
    const timespec left = time_of(really(nanoseconds(*duration)));
    return static_cast<int>(::syscall(SYS_nanosleep, &left, nullptr));
}

int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec*)
{
    const std::int64_t duration = nanoseconds(*time) - ((flags & TIMER_ABSTIME) != 0 ? shown(clock) : 0);
    const timespec left = time_of(really(std::max<std::int64_t>(duration, 0)));
    return static_cast<int>(::syscall(SYS_nanosleep, &left, nullptr));
}

int poll(pollfd* descriptors, nfds_t count, int milliseconds)
{
    const timespec limit = time_of(really(milliseconds * (second / 1'000)));
    return static_cast<int>(
        ::syscall(SYS_ppoll, descriptors, count, milliseconds < 0 ? nullptr : &limit, nullptr, 0));
}

int timerfd_settime(int timer, int flags, const itimerspec* wanted, itimerspec* old) noexcept
{
    itimerspec scaled = *wanted;
    if ((flags & TFD_TIMER_ABSTIME) == 0) // an absolute one is Asio's for "at once"
        scaled.it_value = time_of(really(nanoseconds(wanted->it_value)));
    return static_cast<int>(::syscall(SYS_timerfd_settime, timer, flags, &scaled, old));
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* deadline)
{
    static auto* const wait = next<decltype(pthread_cond_timedwait)>("pthread_cond_timedwait");
    const timespec scaled = time_of(really_until(CLOCK_REALTIME, *deadline));
    return wait(condition, mutex, &scaled);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* deadline)
{
    static auto* const wait = next<decltype(pthread_cond_clockwait)>("pthread_cond_clockwait");
    const timespec scaled = time_of(really_until(clock, *deadline));
    return wait(condition, mutex, clock, &scaled);
}
}
