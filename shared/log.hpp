// Diagnostics: one line each on stderr, through spdlog. Readings and machine-readable output never go here.
// Secrets never do either. Colours only on a terminal and never with NO_COLOR. Thread-safe.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace pulsemeter::log {

enum class Level { debug, info, warning, error };

void set_up(std::string_view program);          // once, first thing in main
void show_debug();                              // --verbose
void write(Level level, std::string_view line); // line breaks and control characters are shown escaped

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args)
{
    write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args)
{
    write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warning(fmt::format_string<Args...> format, Args&&... args)
{
    write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args)
{
    write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

} // namespace pulsemeter::log
