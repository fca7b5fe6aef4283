// Puts a known number of pulses on an output line, for a jumper to the line that meter-pi watches; low at rest. On and
// off last at least what was asked for: what the system adds only makes them longer.
//   pulse LINE COUNT ON_US OFF_US   (line by name)
#include <gpiod.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

gpiod::line_request take_output(const std::string& name)
{
    for (const auto& entry : std::filesystem::directory_iterator("/dev")) {
        if (!entry.path().filename().string().starts_with("gpiochip") || entry.is_symlink())
            continue;
        gpiod::chip chip(entry.path());
        if (const int offset = chip.get_line_offset_from_name(name); offset >= 0) {
            return chip.prepare_request()
                .set_consumer("pulse")
                .add_line_settings(static_cast<unsigned>(offset),
                                   gpiod::line_settings()
                                       .set_direction(gpiod::line::direction::OUTPUT)
                                       .set_output_value(gpiod::line::value::INACTIVE))
                .do_request();
        }
    }
    throw std::runtime_error("no line " + name);
}

} // namespace

int main(int count, char** arguments)
{
    try {
        if (count != 5) {
            std::cerr << "usage: pulse LINE COUNT ON_US OFF_US\n";
            return 2;
        }
        auto line = take_output(arguments[1]);
        const auto offset = line.offsets().front();
        const auto pulses = std::stoul(arguments[2]);
        const std::chrono::microseconds on(std::stoul(arguments[3]));
        const std::chrono::microseconds off(std::stoul(arguments[4]));
        std::this_thread::sleep_for(off);
        for (unsigned long sent = 0; sent < pulses; ++sent) {
            line.set_value(offset, gpiod::line::value::ACTIVE);
            std::this_thread::sleep_for(on);
            line.set_value(offset, gpiod::line::value::INACTIVE);
            std::this_thread::sleep_for(off);
        }
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::cerr << "pulse: " << error.what() << "\n";
        return EXIT_FAILURE;
    }
}
