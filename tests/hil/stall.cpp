// Preloaded into meter-pi on the board: while /run/stall exists, every sync of the disk waits, as a worn SD card's may.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace {

int sync_when_allowed(long number, int descriptor)
{
    while (::access("/run/stall", F_OK) == 0)
        ::usleep(10'000);
    return static_cast<int>(::syscall(number, descriptor));
}

} // namespace

extern "C" int fsync(int descriptor)
{
    return sync_when_allowed(SYS_fsync, descriptor);
}

extern "C" int fdatasync(int descriptor)
{
    return sync_when_allowed(SYS_fdatasync, descriptor);
}
