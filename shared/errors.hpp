// What a program ends with. An outsider's input never throws (tl::expected instead); the environment's failures
// do, and only a loop or main() catches. run_program() turns each into one line on stderr and an exit code.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace pulsemeter {

enum class ExitCode : int { done = 0, failed = 1, usage = 2, authentication = 3 };

// Wrong usage or configuration: names what, where and what to do. Exit 2.
struct UsageError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The password or credential did not open what it should. Exit 3.
struct AuthenticationFailed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Runs `body`; an exception becomes one line on stderr and its exit code (anything else: 1).
[[nodiscard]] int run_program(const std::function<ExitCode()>& body);

} // namespace pulsemeter
