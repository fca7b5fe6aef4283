// sim_world: the whole system in simulated worlds. See --help.
#include "tests/sim/world.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>

using namespace pulsemeter;
using namespace pulsemeter::sim;

namespace {

constexpr const char* help =
    R"(usage: sim_world [--actions N] [--minutes N] [--seed N] [--one] [--verbose] [--help]

Runs simulated worlds, one a seed, until N actions were done in all (1,000,000), or for N minutes. The first that breaks
a rule is told, with the command that shows it again; then the exit code is 1.

  --seed N     the first world's seed (1)
  --one        that world only
  --verbose    what happens in it, and what the programs say
)";

struct Options {
    std::uint64_t actions = 1'000'000;
    std::uint64_t minutes = 0; // 0: no limit
    std::uint64_t seed = 1;
    bool one = false;
    bool verbose = false;
};

constexpr std::uint64_t actions_a_world = 2'000;

[[noreturn]] void wrong_usage(const std::string& what)
{
    fmt::print(stderr, "sim_world: {}\n{}", what, help);
    std::exit(2);
}

Options parse(int count, char** words)
{
    Options options;
    const auto number = [&](int& place) {
        std::uint64_t value = 0;
        const char* text = place + 1 < count ? words[place + 1] : "";
        const char* end = text + std::strlen(text);
        if (const auto [stop, error] = std::from_chars(text, end, value); error != std::errc{} || stop != end)
            wrong_usage(fmt::format("{} wants a number", words[place]));
        ++place;
        return value;
    };
    for (int place = 1; place < count; ++place) {
        const std::string_view word = words[place];
        if (word == "--actions")
            options.actions = number(place);
        else if (word == "--minutes")
            options.minutes = number(place);
        else if (word == "--seed")
            options.seed = number(place);
        else if (word == "--one")
            options.one = true;
        else if (word == "--verbose")
            options.verbose = true;
        else if (word == "--help") {
            std::fputs(help, stdout);
            std::exit(0);
        } else
            wrong_usage(fmt::format("unknown argument {}", word));
    }
    return options;
}

// In memory where there is such a folder: the disks of the worlds are simulated, and theirs is not to wait for a real one.
class Folder {
public:
    Folder()
    {
        std::string name = std::filesystem::exists("/dev/shm")
                               ? "/dev/shm/sim-XXXXXX"
                               : (std::filesystem::temp_directory_path() / "sim-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder " + name);
        path = name;
    }
    ~Folder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::filesystem::path path;
};

// An ENSURE of the programs aborts: the seed has to be told all the same.
char repeat_command[400];
int real_stderr = STDERR_FILENO;

void say(const char* text)
{
    static_cast<void>(!write(real_stderr, text, std::strlen(text)));
}

void on_abort(int /*signal*/)
{
    say("aborted: a program found its own bug (the line is in the output of the command below)\n");
    say(repeat_command);
    std::_Exit(1);
}

void quieten() // what the programs print and log
{
    real_stderr = dup(STDERR_FILENO);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    close(nowhere);
}

} // namespace

int main(int count, char** words)
{
    const Options options = parse(count, words);
    std::FILE* out = fdopen(dup(STDOUT_FILENO), "w");
    if (!options.verbose)
        quieten();
    std::signal(SIGABRT, on_abort);

    const auto begin = std::chrono::steady_clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    World::Sums sums;
    std::uint64_t worlds = 0;
    std::uint64_t done = 0;
    std::uint64_t seed = options.seed;
    const auto more = [&] {
        if (options.one)
            return worlds < 1;
        return options.minutes > 0 ? seconds() < 60.0 * static_cast<double>(options.minutes)
                                   : done < options.actions;
    };
    for (; more(); ++seed, ++worlds, done += actions_a_world) {
        const std::string again =
            fmt::format("to see it again: {} --seed {} --one --verbose\n", words[0], seed);
        again.copy(repeat_command, sizeof repeat_command - 1);
        const Folder folder;
        std::deque<std::string> lately;
        try {
            World world(seed, folder.path, [&](const std::string& line) {
                if (options.verbose)
                    fmt::print(out, "{}\n", line);
                lately.push_back(line);
                if (lately.size() > 20)
                    lately.pop_front();
            });
            world.suffer(actions_a_world);
            world.become_honest();
            world.add_to(sums);
        } catch (const Violation& violation) {
            for (const std::string& line : lately)
                fmt::print(out, "{}\n", line);
            fmt::print(out, "VIOLATION in world {}: {}\n{}", seed, violation.what, again);
            std::fclose(out);
            return 1;
        }
    }
    fmt::print(out,
               "{} worlds, {} actions in {:.0f} s, nothing violated: {} readings made, {} counted, "
               "totals equal at most {:.1f} s after the world was honest\n",
               worlds, done, seconds(), sums.readings_made, sums.readings_counted,
               std::chrono::duration<double>(sums.longest_healing).count());
    for (const auto& [name, times] : sums.actions)
        fmt::print(out, "  {:>9}  {}\n", times, name);
    std::fclose(out);
    return 0;
}
