#include "shared/errors.hpp"

#include "shared/log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

namespace pulsemeter {
namespace {

int exit_code(ExitCode code)
{
    return static_cast<int>(code);
}

int report(const char* message, ExitCode code)
{
    log::error("{}", message);
    return exit_code(code);
}

// A file opened in place of a closed standard stream would get what is printed: `meter-server run >&-`.
void open_closed_streams()
{
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != stream)
            std::abort(); // it takes the lowest free number, which is this one
    }
}

} // namespace

int run_program(const std::function<ExitCode()>& body)
{
    open_closed_streams();
    try {
        return exit_code(body());
    } catch (const UsageError& error) {
        return report(error.what(), ExitCode::usage);
    } catch (const AuthenticationFailed& error) {
        return report(error.what(), ExitCode::authentication);
    } catch (const std::exception& error) {
        return report(error.what(), ExitCode::failed);
    }
}

} // namespace pulsemeter
