#include "shared/errors.hpp"

#include "shared/log.hpp"

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

} // namespace

int run_program(const std::function<ExitCode()>& body)
{
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
