// What the command lines of both programs are made of: subcommands, their options and flags, and what each does. A
// subcommand that is chosen leaves its Action, so that parsing is over (and its errors are told) before anything is
// done. Only command_line.cpp sees the parser behind it, which takes longer to compile than most subcommands.
// Command and Option are handles, copied as one likes while their Program lives; a variable that an option or a flag is
// stored in has to live as long.
#pragma once

#include "shared/errors.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace pulsemeter {

using Action = std::function<ExitCode()>;

class Option {
public:
    Option takes(const std::string& value);                       // the name of its value, e.g. FILE
    Option within(std::uint64_t smallest, std::uint64_t largest); // refuses any other number
    Option one_of(const std::vector<std::string>& words);         // refuses any other word
    Option required();
    Option needs(const Option& other);    // is refused without the other one
    Option excludes(const Option& other); // is refused beside the other one

private:
    friend class Command;
    explicit Option(CLI::Option& option) : option_(&option) {}

    CLI::Option* option_;
};

class Command {
public:
    Command add_command(const std::string& name, const std::string& description);
    // Has subcommands, one of which is required.
    Command add_group(const std::string& name, const std::string& description);

    // "--name", or "NAME" for an argument that is known by its place. A Value is a std::string, a
    // std::filesystem::path, a std::uint32_t, a std::uint64_t, or a std::optional of one of them.
    template <typename Value>
    Option add_option(const std::string& name, Value& value, const std::string& description);
    Option add_flag(const std::string& name, bool& value, const std::string& description);

    void does(Action action); // when it is chosen

protected:
    Command(CLI::App& command, Action& chosen) : command_(&command), chosen_(&chosen) {}

private:
    CLI::App* command_;
    Action* chosen_;
};

// The command line itself, with --version, and --help everywhere.
class Program : public Command {
public:
    Program(const std::string& name, const std::string& description, const std::string& version);
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    // Parses, shows --help or --version, or does what the chosen subcommand does. Throws UsageError, one line that
    // ends with where to look, and std::system_error if standard output did not take everything.
    [[nodiscard]] ExitCode run(int argc, const char* const* argv);

private:
    struct Parser;
    explicit Program(std::unique_ptr<Parser> parser);

    std::unique_ptr<Parser> parser_;
};

// Throws std::system_error if standard output has not taken all that was written to it.
void flush_output();

} // namespace pulsemeter
