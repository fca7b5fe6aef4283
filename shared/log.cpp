#include "shared/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/ansicolor_sink.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

namespace pulsemeter::log {
namespace {

std::shared_ptr<spdlog::logger> make_logger(std::string_view program)
{
    const char* no_color = std::getenv("NO_COLOR");
    const bool plain = no_color != nullptr && *no_color != '\0';
    auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(
        plain ? spdlog::color_mode::never : spdlog::color_mode::automatic);
    auto logger = std::make_shared<spdlog::logger>(std::string(program), std::move(sink));
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %n %^%l%$: %v");
    return logger;
}

// Never destroyed: a library's thread may still log while statics are torn down.
std::shared_ptr<spdlog::logger>& logger()
{
    static auto* const instance = new std::shared_ptr<spdlog::logger>(make_logger("pulsemeter"));
    return *instance;
}

spdlog::level::level_enum spdlog_level(Level level)
{
    switch (level) {
    case Level::debug:
        return spdlog::level::debug;
    case Level::info:
        return spdlog::level::info;
    case Level::warning:
        return spdlog::level::warn;
    case Level::error:
        return spdlog::level::err;
    }
    return spdlog::level::err;
}

// How many bytes at the front of `text` make one character that a terminal only shows; 0 if it could act on
// it (C0 and C1 control characters) or if they are no UTF-8.
std::size_t harmless_length(std::string_view text)
{
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
        return 0;
    for (std::size_t at = 1; at < length; ++at) {
        if ((byte(at) & 0xc0U) != 0x80U)
            return 0;
    }
    const unsigned char second = byte(1);
    const bool overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    const bool surrogate = lead == 0xed && second >= 0xa0;
    const bool too_large = lead == 0xf4 && second >= 0x90;
    const bool control = lead == 0xc2 && second < 0xa0;
    return overlong || surrogate || too_large || control ? 0 : length;
}

// A hostile topic or file name must neither begin a second line nor reach the terminal as a command.
std::string escaped(std::string_view line)
{
    std::string text;
    text.reserve(line.size());
    while (!line.empty()) {
        const std::size_t length = harmless_length(line);
        if (length > 0) {
            text.append(line.substr(0, length));
        } else if (line.front() == '\n') {
            text += "\\n";
        } else if (line.front() == '\t') {
            text += "\\t";
        } else {
            text += fmt::format("\\x{:02x}", static_cast<unsigned char>(line.front()));
        }
        line.remove_prefix(length > 0 ? length : 1);
    }
    return text;
}

} // namespace

void set_up(std::string_view program)
{
    logger() = make_logger(program);
}

void show_debug()
{
    logger()->set_level(spdlog::level::debug);
}

void write(Level level, std::string_view line)
{
    logger()->log(spdlog_level(level), escaped(line));
}

} // namespace pulsemeter::log
