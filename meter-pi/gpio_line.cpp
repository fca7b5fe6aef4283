#include "meter-pi/gpio_line.hpp"

#include "shared/errors.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace pulsemeter {
namespace {

constexpr std::string_view permission_remedy =
    "permission denied; add the user to the group gpio (sudo usermod -aG gpio USER) and log in again";

std::string name_of(const FoundLine& line)
{
    return "line " + std::to_string(line.offset) + " of " + line.chip.string();
}

std::string held_message(std::string_view holder)
{
    return "is in use by " +
           (holder.empty() ? std::string("the kernel or a program without a name")
                           : '"' + std::string(holder) + '"') +
           "; stop it, or wire the sensor to another line";
}

bool is_header_line(const LineSeen& line)
{
    return line.name.starts_with("GPIO") && line.name.size() > 4 && line.name[4] >= '0' &&
           line.name[4] <= '9';
}

bool has_header_lines(const ChipSeen& chip)
{
    return is_header_chip(chip.label) || std::any_of(chip.lines.begin(), chip.lines.end(), is_header_line);
}

bool is_at(const LinePlace& place, const ChipSeen& chip, unsigned offset)
{
    if (const auto* by_name = std::get_if<LineName>(&place))
        return chip.lines[offset].name == by_name->name;
    const auto& by_offset = std::get<LineOffset>(place);
    return chip.label == by_offset.chip_label && offset == by_offset.offset;
}

std::string listed(std::span<const FoundLine> lines)
{
    std::string list;
    for (const FoundLine& line : lines)
        list += (list.empty() ? "" : ", ") + name_of(line);
    return list;
}

NoLine nowhere(const LinePlace& place, std::span<const ChipSeen> chips)
{
    const auto denied = std::find_if(chips.begin(), chips.end(),
                                     [](const ChipSeen& chip) { return chip.access == ChipAccess::denied; });
    if (denied != chips.end()) {
        return {LineTrouble::permission_denied,
                denied->path.string() + ": " + std::string(permission_remedy)};
    }
    if (std::any_of(chips.begin(), chips.end(), has_header_lines)) {
        return {LineTrouble::not_there,
                text(place) + ": no GPIO chip has this line; gpioinfo lists those that there are"};
    }
    return {LineTrouble::no_gpio, text(place) +
                                      ": this machine has no GPIO header; run meter-pi on the Pi, or with "
                                      "--source simulate"};
}

} // namespace

bool is_header_chip(std::string_view label)
{
    return label.starts_with("pinctrl-bcm") || label.starts_with("pinctrl-rp1");
}

std::string text(const LinePlace& place)
{
    if (const auto* by_name = std::get_if<LineName>(&place))
        return by_name->name;
    const auto& by_offset = std::get<LineOffset>(place);
    return "line " + std::to_string(by_offset.offset) + " of " + by_offset.chip_label;
}

std::string_view text(Pull pull)
{
    switch (pull) {
    case Pull::up:
        return "up";
    case Pull::down:
        return "down";
    case Pull::none:
        break;
    }
    return "none";
}

std::string_view text(ActiveLevel active)
{
    return active == ActiveLevel::low ? "low" : "high";
}

tl::expected<FoundLine, NoLine> choose_line(const LinePlace& place, std::span<const ChipSeen> chips)
{
    std::vector<FoundLine> found;
    std::optional<std::string> holder;
    for (const ChipSeen& chip : chips) {
        for (unsigned offset = 0; offset < chip.lines.size(); ++offset) {
            if (!is_at(place, chip, offset))
                continue;
            found.push_back({chip.path, offset});
            holder = chip.lines[offset].holder;
        }
    }
    if (found.empty())
        return tl::unexpected(nowhere(place, chips));
    if (found.size() > 1) {
        return tl::unexpected(
            NoLine{LineTrouble::several, text(place) + ": there are several: " + listed(found) +
                                             "; give the chip's label and the offset instead"});
    }
    if (holder) {
        return tl::unexpected(
            NoLine{LineTrouble::held,
                   text(place) + " (" + name_of(found.front()) + ") " + held_message(*holder), *holder});
    }
    return found.front();
}

void refuse_request(const FoundLine& line, int error, std::string_view holder)
{
    const std::string name = name_of(line);
    switch (error) {
    case EBUSY:
        throw UsageError(name + " " + held_message(holder));
    case EACCES:
    case EPERM:
        throw UsageError(name + ": " + std::string(permission_remedy));
    case ENODEV:
    case ENOENT:
        throw SensorMissing(name + ": the chip is gone");
    default:
        throw std::runtime_error(name + " can't be watched: " + std::generic_category().message(error));
    }
}

} // namespace pulsemeter
