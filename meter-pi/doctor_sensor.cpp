#include "meter-pi/doctor.hpp"
#include "meter-pi/sources.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter::doctor {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds idle_for = 1s;
constexpr std::chrono::nanoseconds lit_at_most = 3s; // no meter's LED flashes longer
constexpr std::size_t most_edges_a_second = 1'000;   // 120 Hz has 240, with bounce a few times as many

// What is no answer at all is told like any other trouble: the rest of the report is wanted all the same.
tl::expected<FoundLine, NoLine> looked_for(const LinePlace& place)
{
    try {
        return look_for_line(place);
    } catch (const std::exception& failure) {
        return tl::unexpected(NoLine{LineTrouble::not_there,
                                     fmt::format("{}: the GPIO chips can't be looked at: {}; gpioinfo shows "
                                                 "which one does not answer",
                                                 text(place), failure.what())});
    }
}

// GPIO2 and GPIO3 of the header, by whichever name.
bool has_a_pull_of_its_own(const LinePlace& place)
{
    if (const auto* const line = std::get_if<LineName>(&place))
        return line->name == "GPIO2" || line->name == "GPIO3";
    const auto& line = std::get<LineOffset>(place);
    return is_header_chip(line.chip_label) && (line.offset == 2 || line.offset == 3);
}

Finding watched_level(const FoundLine& line, const GpioSettings& settings)
{
    GpioSettings raw = settings;
    raw.filter = FilterKind::own;
    const auto source = open_line(line, raw);
    const auto start = source->now();
    std::vector<Edge> edges;
    const auto enough = [&] {
        const bool dark = source->level_at_start() == Level::inactive || !edges.empty();
        return source->now() - start >= (dark ? idle_for : lit_at_most);
    };
    while (!enough()) {
        const auto more = source->await(100ms);
        edges.insert(edges.end(), more.begin(), more.end());
    }
    return level(source->level_at_start(), edges, source->now() - start);
}

} // namespace

std::vector<Finding> line(const LinePlace& place, const tl::expected<FoundLine, NoLine>& seen,
                          const Running& running)
{
    if (seen) {
        return {well("sensor line",
                     fmt::format("{} is line {} of {}", text(place), seen->offset, seen->chip.string())),
                well("line free", "nobody else has it")};
    }
    const NoLine& none = seen.error();
    if (none.trouble != LineTrouble::held)
        return {wrong("sensor line", none.message), not_looked_at("line free", "the line was not found")};
    Finding found = well("sensor line", text(place));
    if (none.holder == "meter-pi" && running.seen == Running::Seen::meter)
        return {found, well("line free", running.who + " has it, as it should")};
    if (none.holder == "meter-pi" && running.seen == Running::Seen::nothing)
        return {found, not_looked_at("line free", "a meter-pi has it, whose folder can't be looked into")};
    return {found, wrong("line free", none.message)};
}

Finding level(Level at_start, std::span<const Edge> edges, std::chrono::nanoseconds watched)
{
    const auto seconds = std::max<std::int64_t>(watched / 1s, 1);
    if (edges.size() > most_edges_a_second * static_cast<std::size_t>(seconds)) {
        return wrong("level",
                     fmt::format("{} edges in {} s: the line floats or oscillates", edges.size(), seconds),
                     "is the sensor connected, GND too? set pull in [gpio]; meter-pi probe shows it live");
    }
    if (at_start == Level::active && edges.empty()) {
        return wrong("level", fmt::format("active (lit) all of the time, for {} s", seconds),
                     "turn active in [gpio] round if the LED is dark now; else shade the sensor, or turn its "
                     "threshold");
    }
    return well("level", edges.empty() ? "idle" : fmt::format("{} edges in {} s", edges.size(), seconds));
}

Finding pull(const GpioSettings& settings)
{
    const std::string now =
        fmt::format("pull = \"{}\", active = \"{}\"", text(settings.pull), text(settings.active));
    if (has_a_pull_of_its_own(settings.line)) {
        return wrong("pull", text(settings.line) + " has a fixed 1.8 kOhm pull-up",
                     "wire the sensor to another pin, GPIO17 for example");
    }
    const bool towards_active = (settings.pull == Pull::up && settings.active == ActiveLevel::high) ||
                                (settings.pull == Pull::down && settings.active == ActiveLevel::low);
    if (towards_active) {
        return wrong("pull", now + ": a line that nothing drives would read as lit",
                     "pull up with active low (most sensors), or down with active high");
    }
    return well("pull", settings.pull == Pull::none ? now + ": the sensor has to drive both levels" : now);
}

std::vector<Finding> sensor(const GpioSettings& settings, const Running& running)
{
    const auto seen = looked_for(settings.line);
    std::vector<Finding> findings = line(settings.line, seen, running);
    if (seen) {
        try {
            findings.push_back(watched_level(*seen, settings));
        } catch (const std::exception& failure) {
            findings.push_back(
                wrong("level", failure.what(), "run doctor again; gpioinfo shows who else has the line"));
        }
    } else {
        findings.push_back(not_looked_at("level", all_well(findings) ? "a running meter has the line"
                                                                     : "no line to look at"));
    }
    findings.push_back(pull(settings));
    return findings;
}

} // namespace pulsemeter::doctor
