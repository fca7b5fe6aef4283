#include "meter-pi/sources.hpp"

#include "meter-pi/gpio_line.hpp"
#include "meter-pi/replay_edge_source.hpp"
#include "meter-pi/simulated_edge_source.hpp"
#include "shared/errors.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>

#include <chrono>

#ifdef PULSEMETER_WITH_GPIOD
#include "meter-pi/gpiod_edge_source.hpp"
#endif

namespace pulsemeter {

namespace {

using namespace std::chrono;

nanoseconds time_of_day()
{
    const auto now = system_clock::now();
    return now - floor<days>(now);
}

std::unique_ptr<EdgeSource> simulated(const MeterSettings& settings, std::uint64_t seed)
{
    const SimulationSettings& simulation = settings.simulation;
    const std::uint64_t chosen = simulation.seed != 0 ? simulation.seed : seed;
    auto load = simulation.model == SimulatedLoad::uniform
                    ? uniform_load(settings.interval, chosen)
                    : household_load(settings.constant, time_of_day(), chosen);
    return std::make_unique<SimulatedEdgeSource>(std::move(load), SimulationClock(simulation.speed));
}

LinePresence presence_of(const tl::expected<FoundLine, NoLine>& line)
{
    if (line)
        return LinePresence::found;
    switch (line.error().trouble) {
    case LineTrouble::no_gpio:
        return LinePresence::no_gpio;
    case LineTrouble::not_there:
        return LinePresence::not_there;
    case LineTrouble::several:
    case LineTrouble::permission_denied:
    case LineTrouble::held:
        break;
    }
    throw UsageError(line.error().message); // only a person can mend these
}

std::unique_ptr<EdgeSource> find_and_open(const GpioSettings& settings)
{
    const auto line = look_for_line(settings.line);
    if (!line)
        throw SensorMissing(line.error().message);
    return open_line(*line, settings);
}

OpenedSource waiting_for_line(const std::string& why, const EdgeReader::Opener& open_again)
{
    log::error("sensor missing: {}; the register keeps its total, counting goes on when the line is back",
               why);
    return {Source::measured, nullptr, why, open_again};
}

OpenedSource without_hardware(std::unique_ptr<EdgeSource> source)
{
    return {Source::simulated, std::move(source), "", [] { return std::unique_ptr<EdgeSource>{}; }};
}

} // namespace

#ifdef PULSEMETER_WITH_GPIOD

tl::expected<FoundLine, NoLine> look_for_line(const LinePlace& place)
{
    return find_line(place);
}

std::unique_ptr<EdgeSource> open_line(const FoundLine& line, const GpioSettings& settings)
{
    return std::make_unique<GpiodEdgeSource>(line, settings);
}

#else

tl::expected<FoundLine, NoLine> look_for_line(const LinePlace& place)
{
    return tl::unexpected(
        NoLine{LineTrouble::no_gpio, fmt::format("cannot look for {}: this meter-pi was built without "
                                                 "libgpiod 2, for simulation and replay only",
                                                 text(place))});
}

std::unique_ptr<EdgeSource> open_line(const FoundLine&, const GpioSettings&)
{
    return nullptr; // no line is ever found
}

#endif

std::string gpio_support()
{
#ifdef PULSEMETER_WITH_GPIOD
    return "libgpiod " + gpiod_version();
#else
    return "without GPIO: simulation and replay only";
#endif
}

SourceRequest SourceRequest::parse(const std::string& text)
{
    static constexpr std::string_view replay = "replay=";
    if (text == "auto")
        return {SourceKind::automatic, {}};
    if (text == "gpio")
        return {SourceKind::gpio, {}};
    if (text == "simulate")
        return {SourceKind::simulate, {}};
    if (text.size() > replay.size() && text.compare(0, replay.size(), replay) == 0)
        return {SourceKind::replay, text.substr(replay.size())};
    throw UsageError(fmt::format("--source {}: auto, gpio, simulate or replay=TRACE is wanted", text));
}

SourceDecision decide(SourceKind kind, LinePresence presence, History history, Fallback fallback)
{
    const bool fed = history == History::fed_by_hardware;
    if (kind == SourceKind::simulate || kind == SourceKind::replay)
        return fed ? SourceDecision::refuse_simulating : SourceDecision::simulate;
    if (presence == LinePresence::found)
        return SourceDecision::take_line;
    if (fed)
        return SourceDecision::wait_for_line;
    if (kind != SourceKind::automatic || presence != LinePresence::no_gpio)
        return SourceDecision::refuse_missing;
    return fallback == Fallback::simulation ? SourceDecision::simulate : SourceDecision::refuse_falling_back;
}

OpenedSource open_source(const SourceRequest& request, const MeterSettings& settings, History history,
                         std::uint64_t seed)
{
    const bool wants_line = request.kind == SourceKind::automatic || request.kind == SourceKind::gpio;
    const auto line = wants_line ? look_for_line(settings.gpio.line) : tl::unexpected(NoLine{});
    const EdgeReader::Opener open_again = [gpio = settings.gpio] { return find_and_open(gpio); };
    const Fallback fallback = settings.classic ? Fallback::none : Fallback::simulation;
    switch (decide(request.kind, presence_of(line), history, fallback)) {
    case SourceDecision::take_line:
        try {
            return {Source::measured, open_line(*line, settings.gpio), "", open_again};
        } catch (const SensorMissing& gone) { // between the look and the request
            return waiting_for_line(gone.what(), open_again);
        }
    case SourceDecision::wait_for_line:
        return waiting_for_line(line.error().message, open_again);
    case SourceDecision::refuse_missing:
        throw UsageError(line.error().message);
    case SourceDecision::refuse_simulating:
        throw UsageError(
            "this state folder keeps a register that was fed by hardware, which never takes a simulated "
            "pulse: name another folder with --state to simulate");
    case SourceDecision::refuse_falling_back:
        throw UsageError(fmt::format(
            "{}; and on the classic wire nothing is simulated unless it is asked for, since the total that "
            "the "
            "Python programs share would keep the units for good: to try it out, on topics of its own, say "
            "--source simulate",
            line.error().message));
    case SourceDecision::simulate:
        break;
    }
    if (request.kind == SourceKind::replay) {
        return without_hardware(
            std::make_unique<ReplayEdgeSource>(read_trace_file(request.trace), settings.simulation.speed));
    }
    if (request.kind == SourceKind::automatic) {
        log::warning(
            "NO SENSOR: this machine has no GPIO line {}; SIMULATING a load, the readings are not real ({})",
            text(settings.gpio.line), gpio_support());
    }
    return without_hardware(simulated(settings, seed));
}

} // namespace pulsemeter
