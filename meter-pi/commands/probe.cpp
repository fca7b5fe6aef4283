#include "meter-pi/probe.hpp"

#include "meter-pi/commands/commands.hpp"
#include "meter-pi/commands/watch.hpp"
#include "shared/command_line.hpp"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace pulsemeter {
namespace {

constexpr std::chrono::milliseconds drawn_every{250};
constexpr std::chrono::seconds said_every{1};

enum class Screen : bool { plain, drawn };

// A terminal that can go up a line. Nothing is coloured, so there is nothing that NO_COLOR would change.
Screen screen()
{
    const char* kind = std::getenv("TERM");
    const bool can_draw =
        ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb";
    return can_draw ? Screen::drawn : Screen::plain;
}

ScreenSize screen_size()
{
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        return {};
    return {size.ws_col, size.ws_row};
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    return text;
}

void put(const std::string& text)
{
    fmt::print("{}", text);
    flush_output();
}

ExitCode run_probe(const WatchOptions& options)
{
    const Watched watched = open_watched(options);
    EdgeSource& edges = *watched.edges;
    Probe probe(edges.detection(), edges.level_at_start(), watched.settings.gpio.own_filter,
                watched.settings.constant, edges.now());
    const Screen where = screen();
    const std::string source = watched.kind == Source::simulated ? "no sensor: simulated or recorded edges"
                                                                 : text(watched.settings.gpio.line);
    put(fmt::format("{}, {} imp/kWh; {}\n", source, watched.settings.constant.imp_per_kwh,
                    options.seconds ? fmt::format("for {} s", *options.seconds)
                                    : std::string("Enter or Ctrl-C ends it")));
    auto due = std::chrono::steady_clock::now();
    std::size_t drawn = 0;
    watch(edges, options, [&](std::span<const Edge> seen) {
        probe.add(seen);
        const auto now = std::chrono::steady_clock::now();
        if (now < due)
            return Go::on;
        const ProbeView view = probe.view(edges.now());
        if (where == Screen::plain) {
            put(probe_line(view) + "\n");
            due = now + said_every;
            return Go::on;
        }
        const auto lines = fitted(probe_lines(view), screen_size());
        put((drawn > 0 ? fmt::format("\x1b[{}A\x1b[J", drawn) : std::string()) + joined(lines));
        drawn = lines.size();
        due = now + drawn_every;
        return Go::on;
    });
    const auto all = probe_lines(probe.view(edges.now()));
    if (where == Screen::plain) {
        put(joined(all));
    } else if (fitted(all, screen_size()) != all) {
        put("\r\x1b[J" + joined(all)); // now it may scroll; a Ctrl-C has left its mark in the line
    }
    return ExitCode::done;
}

} // namespace

void add_probe(Command& parent)
{
    auto options = std::make_shared<WatchOptions>();
    Command command =
        parent.add_command("probe", "Show what the sensor sees, live, to align it; not while the meter runs");
    add_watch_options(command, *options);
    command.does([options] { return run_probe(*options); });
}

} // namespace pulsemeter
