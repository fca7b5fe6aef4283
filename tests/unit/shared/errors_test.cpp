#include "shared/errors.hpp"
#include "surroundings.hpp"

#include <algorithm>
#include <new>

namespace pulsemeter {
namespace {

struct Outcome {
    int exit_code = -1;
    std::string lines;
};

Outcome run(const std::function<ExitCode()>& body)
{
    Outcome outcome;
    outcome.lines = stderr_of([&] { outcome.exit_code = run_program(body); });
    return outcome;
}

auto line_count(const std::string& text)
{
    return std::count(text.begin(), text.end(), '\n');
}

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(a_body_that_ends_gives_its_code_and_says_nothing)
{
    for (const auto code : {ExitCode::done, ExitCode::failed, ExitCode::usage, ExitCode::authentication}) {
        const auto outcome = run([&] { return code; });
        BOOST_TEST(outcome.exit_code == static_cast<int>(code));
        BOOST_TEST(outcome.lines.empty());
    }
}

BOOST_AUTO_TEST_CASE(wrong_usage_ends_with_2)
{
    const auto outcome = run([]() -> ExitCode { throw UsageError("meter.toml:3: meter.id: unknown"); });
    BOOST_TEST(outcome.exit_code == 2);
    BOOST_TEST(contains(outcome.lines, "error: meter.toml:3: meter.id: unknown\n"));
    BOOST_TEST(line_count(outcome.lines) == 1);
}

BOOST_AUTO_TEST_CASE(a_wrong_password_ends_with_3)
{
    const auto outcome = run([]() -> ExitCode { throw AuthenticationFailed("Authentication failed"); });
    BOOST_TEST(outcome.exit_code == 3);
    BOOST_TEST(contains(outcome.lines, "Authentication failed\n"));
}

BOOST_AUTO_TEST_CASE(any_other_failure_ends_with_1)
{
    BOOST_TEST(run([]() -> ExitCode { throw std::runtime_error("disk gone"); }).exit_code == 1);
    BOOST_TEST(run([]() -> ExitCode { throw std::bad_alloc(); }).exit_code == 1);
}

BOOST_AUTO_TEST_CASE(a_message_of_several_lines_is_one_line)
{
    const auto outcome = run([]() -> ExitCode { throw std::runtime_error("first\nsecond\r\nthird"); });
    BOOST_TEST(line_count(outcome.lines) == 1);
    BOOST_TEST(contains(outcome.lines, "first\\nsecond\\x0d\\nthird\n"));
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
