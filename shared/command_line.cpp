#include "shared/command_line.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace pulsemeter {
namespace {

// What the parser would spread over lines, in one.
std::string one_line(std::string text)
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

// The option of `command`, or of the chosen one below it, whose value is missing according to `error`, which names it
// in its text only.
const CLI::Option* option_without_value(const CLI::App& command, const CLI::ParseError& error)
{
    for (const CLI::Option* option : command.get_options()) {
        const auto missing =
            CLI::ArgumentMismatch::TypedAtLeast(option->get_name(), 1, option->get_type_name());
        if (std::string_view(missing.what()) == error.what())
            return option;
    }
    for (const CLI::App* chosen : command.get_subcommands()) {
        if (const CLI::Option* option = option_without_value(*chosen, error))
            return option;
    }
    return nullptr;
}

// The parser would take the next option for a value. Answers why it is none, else nothing.
std::string why_no_value(const CLI::Option& option, const std::string& text)
{
    if (text.starts_with("--") || text == "-h")
        return "wants a value: " + option.get_option_text() + ", not " + text;
    return "";
}

// The parser would take 0100 for octal (a meter's constant for another one), and let -1 wrap.
std::string why_no_number(const std::string& text)
{
    const bool is_decimal = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (is_decimal && (text == "0" || text.front() != '0'))
        return "";
    return "Value " + text + ": a whole number in decimal digits is wanted, without a 0 in front";
}

std::string refusal(const CLI::App& program, const CLI::ParseError& error)
{
    const bool is_about_a_value = dynamic_cast<const CLI::ValidationError*>(&error) != nullptr;
    if (const auto unknown = program.remaining(true); !unknown.empty() && !is_about_a_value)
        return "unknown: " + unknown.front();
    if (const CLI::Option* option = option_without_value(program, error))
        return option->get_name() + " wants a value: " + option->get_option_text();
    return error.what();
}

} // namespace

Option Option::takes(const std::string& value)
{
    option_->option_text(value);
    return *this;
}

Option Option::within(std::uint64_t smallest, std::uint64_t largest)
{
    option_->check(CLI::Range(smallest, largest));
    return *this;
}

Option Option::one_of(const std::vector<std::string>& words)
{
    option_->check(CLI::IsMember(words));
    return *this;
}

Option Option::required()
{
    option_->required();
    return *this;
}

Option Option::needs(const Option& other)
{
    option_->needs(other.option_);
    return *this;
}

Option Option::excludes(const Option& other)
{
    option_->excludes(other.option_);
    return *this;
}

Command Command::add_command(const std::string& name, const std::string& description)
{
    return {*command_->add_subcommand(name, description), *chosen_};
}

Command Command::add_group(const std::string& name, const std::string& description)
{
    CLI::App* group = command_->add_subcommand(name, description);
    group->require_subcommand(1);
    return {*group, *chosen_};
}

namespace {
template <typename Value>
constexpr bool is_number = std::is_integral_v<Value>;
template <typename Value>
constexpr bool is_number<std::optional<Value>> = std::is_integral_v<Value>;
} // namespace

template <typename Value>
Option Command::add_option(const std::string& name, Value& value, const std::string& description)
{
    CLI::Option* option = command_->add_option(name, value, description);
    option->check([option](const std::string& text) { return why_no_value(*option, text); }, "");
    if constexpr (is_number<Value>)
        option->check(why_no_number, "");
    return Option(*option);
}
template Option Command::add_option(const std::string&, std::string&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<std::string>&, const std::string&);
template Option Command::add_option(const std::string&, std::filesystem::path&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<std::filesystem::path>&,
                                    const std::string&);
template Option Command::add_option(const std::string&, std::uint32_t&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<std::uint32_t>&, const std::string&);
template Option Command::add_option(const std::string&, std::uint64_t&, const std::string&);
template Option Command::add_option(const std::string&, std::optional<std::uint64_t>&, const std::string&);

Option Command::add_flag(const std::string& name, bool& value, const std::string& description)
{
    return Option(*command_->add_flag(name, value, description));
}

void Command::does(Action action)
{
    command_->callback([chosen = chosen_, action = std::move(action)] { *chosen = action; });
}

struct Program::Parser {
    Parser(const std::string& name, const std::string& description, const std::string& version)
        : program(description, name)
    {
        program.set_version_flag("--version", version);
        program.require_subcommand(1);
    }

    CLI::App program;
    Action chosen;
};

Program::Program(const std::string& name, const std::string& description, const std::string& version)
    : Program(std::make_unique<Parser>(name, description, version))
{
}

Program::Program(std::unique_ptr<Parser> parser)
    : Command(parser->program, parser->chosen), parser_(std::move(parser))
{
}

Program::~Program() = default;

ExitCode Program::run(int argc, const char* const* argv)
{
    CLI::App& program = parser_->program;
    try {
        program.parse(argc, argv);
    } catch (const CLI::Success& help_or_version) {
        program.exit(help_or_version);
        return ExitCode::done;
    } catch (const CLI::ParseError& error) {
        throw UsageError(one_line(refusal(program, error)) + " (see " + program.get_name() + " --help)");
    }
    const ExitCode code = parser_->chosen();
    flush_output(); // a script must not take half an answer for a whole one
    return code;
}

void flush_output()
{
    int error = std::ferror(stdout) != 0 ? EIO : 0; // of an earlier write
    if (std::fflush(stdout) != 0)
        error = errno;
    if (error != 0)
        throw std::system_error(error, std::generic_category(), "writing to standard output");
}

} // namespace pulsemeter
