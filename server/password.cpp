#include "server/password.hpp"

#include "server/crypto/password_rules.hpp"
#include "shared/errors.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

namespace pulsemeter {
namespace {

using crypto::SecretText;

constexpr std::size_t longest_password = 1024;

[[noreturn]] void throw_errno(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

class Descriptor {
public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor()
    {
        if (number_ >= 0)
            ::close(number_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int number() const { return number_; }

private:
    int number_;
};

// Standard input decides whether someone sits there: `meter-server run </dev/null` never asks. The terminal
// itself is spoken to, so that a redirected stderr does not swallow the question.
Descriptor open_terminal()
{
    const int terminal = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    return Descriptor(terminal >= 0 ? terminal : ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
}

bool terminal_is_there()
{
    return ::isatty(STDIN_FILENO) == 1;
}

void say(int terminal, std::string_view text)
{
    if (::write(terminal, text.data(), text.size()) < 0)
        throw_errno("writing to the terminal");
}

// While it lives the terminal does not echo, and the signals that would leave it so wait: they show on
// signals() and are delivered, as if nothing had been, after the terminal is itself again.
class QuietTerminal {
public:
    explicit QuietTerminal(int terminal) : terminal_(terminal)
    {
        sigset_t waiting;
        sigemptyset(&waiting);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP})
            sigaddset(&waiting, signal);
        if (::tcgetattr(terminal_, &echoing_) != 0)
            throw_errno("reading the terminal's settings");
        ::pthread_sigmask(SIG_BLOCK, &waiting, &signals_before_);
        signals_ = ::signalfd(-1, &waiting, SFD_CLOEXEC);
        termios quiet = echoing_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        quiet.c_lflag |= ECHONL;
        ::tcsetattr(terminal_, TCSAFLUSH, &quiet);
    }
    ~QuietTerminal()
    {
        ::tcsetattr(terminal_, TCSAFLUSH, &echoing_);
        if (signals_ >= 0)
            ::close(signals_);
        ::pthread_sigmask(SIG_SETMASK, &signals_before_, nullptr);
    }
    QuietTerminal(const QuietTerminal&) = delete;
    QuietTerminal& operator=(const QuietTerminal&) = delete;
    [[nodiscard]] int signals() const { return signals_; }

private:
    int terminal_;
    int signals_ = -1;
    termios echoing_{};
    sigset_t signals_before_{};
};

// A line without its end. Nothing if a signal came first; UsageError at the end of input.
std::optional<std::string> read_line(int terminal, int signals)
{
    std::array<pollfd, 2> watched{{{terminal, POLLIN, 0}, {signals, POLLIN, 0}}};
    std::string line;
    line.reserve(longest_password); // never reallocated, so that wiping it wipes all of it
    while (line.size() < longest_password) {
        if (::poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR)
                continue;
            throw_errno("waiting for the terminal");
        }
        if ((watched[1].revents & POLLIN) != 0)
            return std::nullopt;
        char character = 0;
        const ssize_t count = ::read(terminal, &character, 1);
        if (count < 0 && errno != EINTR)
            throw_errno("reading from the terminal");
        if (count == 0)
            throw UsageError("the terminal's input ended before the answer");
        if (count == 1 && character == '\n')
            return line;
        if (count == 1)
            line.push_back(character);
    }
    throw UsageError(fmt::format("that is too long: at most {} characters", longest_password - 1));
}

SecretText ask_quietly(std::string_view question)
{
    const Descriptor terminal = open_terminal();
    while (true) { // again after Ctrl-Z and `fg`
        const QuietTerminal quiet(terminal.number());
        say(terminal.number(), question);
        if (std::optional<std::string> line = read_line(terminal.number(), quiet.signals()))
            return SecretText(std::move(*line));
        say(terminal.number(), "\n");
    }
}

std::string read_line_of(const std::filesystem::path& file)
{
    std::string text = read_secret_file(file);
    text.resize(without_line_end(text).size());
    return text;
}

std::optional<std::filesystem::path> credential()
{
    const char* folder = std::getenv("CREDENTIALS_DIRECTORY");
    if (folder == nullptr || *folder == '\0')
        return std::nullopt;
    const auto path = std::filesystem::path(folder) / "password";
    std::error_code ignored;
    return std::filesystem::exists(path, ignored) ? std::optional(path) : std::nullopt;
}

std::optional<std::string> password_without_terminal(const std::optional<std::filesystem::path>& file)
{
    if (file)
        return read_line_of(*file);
    if (const auto path = credential())
        return read_line_of(*path);
    if (!terminal_is_there()) {
        throw UsageError(
            "no terminal to ask for the password: say --password-file FILE (mode 0600), or give the "
            "systemd credential \"password\"");
    }
    return std::nullopt;
}

} // namespace

crypto::SecretText obtain_password(const std::optional<std::filesystem::path>& file)
{
    if (auto text = password_without_terminal(file))
        return SecretText(std::move(*text));
    return ask_quietly("Password: ");
}

crypto::SecretText obtain_new_password(const std::optional<std::filesystem::path>& file)
{
    if (auto text = password_without_terminal(file)) {
        SecretText password(std::move(*text));
        if (const std::string why = check_new_password(password.text()); !why.empty())
            throw UsageError(file ? fmt::format("{}: {}", file->string(), why) : why);
        return SecretText(password.text());
    }
    while (true) {
        const SecretText first = ask_quietly("New password: ");
        if (const std::string why = check_new_password(first.text()); !why.empty()) {
            log::warning("{}; try again, or end with Ctrl-C", why);
            continue;
        }
        const SecretText second = ask_quietly("The same again: ");
        if (first.text() == second.text())
            return SecretText(first.text());
        log::warning("the two differ; try again, or end with Ctrl-C");
    }
}

std::optional<std::string> ask(std::string_view question)
{
    if (!terminal_is_there())
        return std::nullopt;
    const Descriptor terminal = open_terminal();
    say(terminal.number(), question);
    return read_line(terminal.number(), -1);
}

} // namespace pulsemeter
