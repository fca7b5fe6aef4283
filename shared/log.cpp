#include "shared/log.hpp"

#include "shared/harmless.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/ansicolor_sink.h>

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
