#include "meter-pi/gpiod_edge_source.hpp"

#include <gpiod.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t event_buffer_size = EdgeSource::largest_batch;
constexpr std::chrono::milliseconds settling_time = 50ms;

ChipSeen look_at(const std::filesystem::path& path)
{
    ChipSeen seen{.path = path};
    const gpiod::chip chip(path);
    const gpiod::chip_info info = chip.get_info();
    seen.label = info.label();
    for (unsigned offset = 0; offset < info.num_lines(); ++offset) {
        const gpiod::line_info line = chip.get_line_info(offset);
        seen.lines.push_back({.name = line.name()});
        if (line.used())
            seen.lines.back().holder = line.consumer();
    }
    return seen;
}

std::vector<ChipSeen> look_at_chips()
{
    std::vector<ChipSeen> chips;
    for (const auto& entry : std::filesystem::directory_iterator("/dev")) {
        const auto& path = entry.path();
        // Raspberry Pi OS links gpiochip4 to gpiochip0 for the sake of old programs: that is one chip, not two.
        if (!path.filename().string().starts_with("gpiochip") || entry.is_symlink())
            continue;
        try {
            chips.push_back(look_at(path));
        } catch (const std::system_error& error) {
            const int code = error.code().value();
            if (code == EACCES || code == EPERM)
                chips.push_back({.path = path, .access = ChipAccess::denied});
            else if (code != ENOENT && code != ENXIO && code != ENODEV) // else it vanished while we looked
                throw;
        }
    }
    std::sort(chips.begin(), chips.end(),
              [](const ChipSeen& left, const ChipSeen& right) { return left.path < right.path; });
    return chips;
}

gpiod::line::bias bias(Pull pull)
{
    switch (pull) {
    case Pull::up:
        return gpiod::line::bias::PULL_UP;
    case Pull::down:
        return gpiod::line::bias::PULL_DOWN;
    case Pull::none:
        break;
    }
    return gpiod::line::bias::DISABLED;
}

gpiod::line_settings line_settings(const GpioSettings& settings)
{
    gpiod::line_settings line;
    line.set_direction(gpiod::line::direction::INPUT)
        .set_bias(bias(settings.pull))
        .set_active_low(settings.active == ActiveLevel::low)
        .set_event_clock(gpiod::line::clock::MONOTONIC)
        .set_edge_detection(settings.filter == FilterKind::own ? gpiod::line::edge::BOTH
                                                               : gpiod::line::edge::RISING);
    if (settings.filter == FilterKind::kernel)
        line.set_debounce_period(settings.debounce);
    return line;
}

std::string holder_of(const FoundLine& line)
{
    try {
        return gpiod::chip(line.chip).get_line_info(line.offset).consumer();
    } catch (const std::exception&) {
        return ""; // it is only for the message
    }
}

gpiod::line_request request_line(const FoundLine& line, const GpioSettings& settings)
{
    try {
        gpiod::chip chip(line.chip);
        return chip.prepare_request()
            .set_consumer("meter-pi")
            .set_event_buffer_size(event_buffer_size)
            .add_line_settings(line.offset, line_settings(settings))
            .do_request();
    } catch (const std::system_error& error) {
        refuse_request(line, error.code().value(), holder_of(line));
    } catch (const std::invalid_argument&) {
        refuse_request(line, EINVAL, "");
    }
}

} // namespace

tl::expected<FoundLine, NoLine> find_line(const LinePlace& place)
{
    return choose_line(place, look_at_chips());
}

std::string gpiod_version()
{
    return gpiod::api_version();
}

GpiodEdgeSource::GpiodEdgeSource(const FoundLine& line, const GpioSettings& settings)
    : line_(line),
      detection_(settings.filter == FilterKind::own ? Detection::both_edges : Detection::rising_only),
      request_(std::make_unique<gpiod::line_request>(request_line(line, settings))),
      buffer_(std::make_unique<gpiod::edge_event_buffer>(event_buffer_size))
{
    try {
        settle();
    } catch (const std::system_error& error) {
        throw SensorMissing(line_.chip.string() + ": " + error.what());
    }
    stop_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_ < 0)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

GpiodEdgeSource::~GpiodEdgeSource()
{
    ::close(stop_);
}

void GpiodEdgeSource::settle()
{
    std::this_thread::sleep_for(settling_time);
    // The level belongs before the next edge only if none came while it was read. A line that never rests for so
    // long is noise, and the counter will say so.
    constexpr int attempts = 10;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        drain();
        const auto value = request_->get_value(line_.offset);
        level_at_start_ = value == gpiod::line::value::ACTIVE ? Level::active : Level::inactive;
        if (!request_->wait_edge_events(0ns))
            return;
    }
}

void GpiodEdgeSource::drain()
{
    while (request_->wait_edge_events(0ns)) {
        request_->read_edge_events(*buffer_, event_buffer_size);
        for (const gpiod::edge_event& event : *buffer_)
            seqno_before_start_ = static_cast<std::uint32_t>(event.line_seqno());
    }
}

void GpiodEdgeSource::wait(std::chrono::milliseconds timeout, const std::stop_token& stop)
{
    const std::stop_callback end_wait(stop, [this] { ::eventfd_write(stop_, 1); });
    std::array<pollfd, 2> awaited{{{request_->fd(), POLLIN, 0}, {stop_, POLLIN, 0}}};
    if (::poll(awaited.data(), awaited.size(), static_cast<int>(timeout.count())) < 0 && errno != EINTR)
        throw std::system_error(errno, std::generic_category(), "poll");
}

std::vector<Edge> GpiodEdgeSource::read()
{
    std::vector<Edge> edges;
    try {
        if (!request_->wait_edge_events(0ns))
            return edges;
        request_->read_edge_events(*buffer_, event_buffer_size);
    } catch (const std::system_error& error) {
        if (error.code().value() == EINTR)
            return edges;
        throw SensorMissing(line_.chip.string() + ": " + error.what());
    }
    edges.reserve(buffer_->num_events());
    for (const gpiod::edge_event& event : *buffer_) {
        const bool rising = event.type() == gpiod::edge_event::event_type::RISING_EDGE;
        edges.push_back(
            {.time = std::chrono::nanoseconds(static_cast<std::int64_t>(event.timestamp_ns().ns())),
             .level = rising ? Level::active : Level::inactive,
             .seqno = static_cast<std::uint32_t>(event.line_seqno()) - seqno_before_start_});
    }
    return edges;
}

std::chrono::nanoseconds GpiodEdgeSource::now() const
{
    return std::chrono::steady_clock::now().time_since_epoch();
}

} // namespace pulsemeter
