#include "shared/log.hpp"
#include "surroundings.hpp"

#include <pty.h>

#include <algorithm>
#include <regex>
#include <thread>
#include <vector>

namespace pulsemeter {
namespace {

std::string logged(std::string_view text)
{
    const std::string line = stderr_of([&] { log::write(log::Level::info, text); });
    const auto start = line.find("info: ");
    BOOST_REQUIRE(start != std::string::npos);
    return line.substr(start + 6);
}

// What arrives at a terminal on which a process of its own logs one warning.
std::string seen_on_a_terminal(const char* no_color)
{
    int terminal = -1;
    const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        ::setenv("TERM", "xterm-256color", 1);
        ::setenv("NO_COLOR", no_color, 1);
        log::set_up("meter-pi");
        log::warning("attention");
        ::_exit(0);
    }
    std::string text;
    char byte = 0;
    while (::read(terminal, &byte, 1) == 1)
        text += byte;
    ::waitpid(child, nullptr, 0);
    ::close(terminal);
    return text;
}

BOOST_AUTO_TEST_SUITE(logging)

BOOST_AUTO_TEST_CASE(a_line_has_time_program_level_and_text)
{
    const std::string line = stderr_of([] {
        log::set_up("meter-pi");
        log::warning("broker {} is {}", "mqtt://b:1883", "gone");
    });
    const std::regex expected(
        R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} meter-pi warning: broker mqtt://b:1883 is gone\n)");
    BOOST_TEST(std::regex_match(line, expected), line);
}

BOOST_AUTO_TEST_CASE(debug_lines_are_shown_only_when_asked_for)
{
    log::set_up("meter-pi");
    BOOST_TEST(stderr_of([] { log::debug("details"); }).empty());
    log::show_debug();
    BOOST_TEST(contains(stderr_of([] { log::debug("details"); }), "debug: details"));
    log::set_up("meter-pi");
}

BOOST_AUTO_TEST_CASE(K7_a_hostile_topic_reaches_the_terminal_only_as_text)
{
    BOOST_TEST(logged("a\x1b[31mred") == "a\\x1b[31mred\n");
    BOOST_TEST(logged("one\ntwo\r\tthree") == "one\\ntwo\\x0d\\tthree\n");
    BOOST_TEST(logged(std::string_view("nul\0", 4)) == "nul\\x00\n");
    BOOST_TEST(logged("del\x7f") == "del\\x7f\n");
    BOOST_TEST(logged("\xc2\x9b"
                      "31m") == "\\xc2\\x9b31m\n"); // CSI as one C1 character
    BOOST_TEST(logged("\x9b"
                      "31m") == "\\x9b31m\n"); // ... and as a bare byte
}

BOOST_AUTO_TEST_CASE(people_see_their_own_letters)
{
    BOOST_TEST(logged("Zähler 3 € 電気 🔌") == "Zähler 3 € 電気 🔌\n");
    BOOST_TEST(logged("\xc2\xa0") == "\xc2\xa0\n"); // the first character after the C1 controls
}

BOOST_AUTO_TEST_CASE(what_is_no_utf_8_is_escaped)
{
    BOOST_TEST(logged("\xc3") == "\\xc3\n");
    BOOST_TEST(logged("\xc3("
                      "x") == "\\xc3(x\n");
    BOOST_TEST(logged("\xc0\xaf") == "\\xc0\\xaf\n");                   // overlong
    BOOST_TEST(logged("\xe0\x80\x8a") == "\\xe0\\x80\\x8a\n");          // overlong line feed
    BOOST_TEST(logged("\xed\xa0\x80") == "\\xed\\xa0\\x80\n");          // surrogate
    BOOST_TEST(logged("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80\n"); // above U+10FFFF
    BOOST_TEST(logged("\xf0\x9f\x94") == "\\xf0\\x9f\\x94\n");          // cut short
}

BOOST_AUTO_TEST_CASE(braces_in_a_finished_line_are_no_format)
{
    BOOST_TEST(logged("{} {0} %v") == "{} {0} %v\n");
}

BOOST_AUTO_TEST_CASE(colours_only_on_a_terminal_and_never_with_NO_COLOR)
{
    BOOST_TEST(contains(seen_on_a_terminal(""), "\x1b["));
    const std::string plain = seen_on_a_terminal("1");
    BOOST_TEST(contains(plain, "warning: attention"));
    BOOST_TEST(!contains(plain, "\x1b"));
    BOOST_TEST(!contains(stderr_of([] { log::warning("attention"); }), "\x1b"));
}

BOOST_AUTO_TEST_CASE(lines_of_several_threads_do_not_mix)
{
    const std::string text = stderr_of([] {
        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread) {
            threads.emplace_back([] {
                for (int line = 0; line < 200; ++line)
                    log::info("{}", std::string(100, 'x'));
            });
        }
        for (auto& thread : threads)
            thread.join();
    });
    const std::regex line(R"([^\n]* info: x{100}\n)");
    BOOST_TEST(std::distance(std::sregex_iterator(text.begin(), text.end(), line), {}) == 800);
    BOOST_TEST(std::count(text.begin(), text.end(), '\n') == 800);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
