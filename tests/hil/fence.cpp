// A barrier for the emulated board: on each rising edge of line IN it toggles line OUT. The kernel hands
// edges on in the order in which they came, so a host that sees OUT flip knows that every edge before that on
// IN has arrived.
//   fence IN OUT   (line names)
#include <gpiod.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

namespace {

gpiod::line::offset line_called(const gpiod::chip& chip, const std::string& name)
{
    const int offset = chip.get_line_offset_from_name(name);
    if (offset < 0) {
        throw std::runtime_error("no line " + name);
    }
    return static_cast<unsigned int>(offset);
}

} // namespace

int main(int count, char** arguments)
{
    try {
        if (count != 3) {
            std::cerr << "usage: fence IN OUT\n";
            return 2;
        }
        gpiod::chip chip("/dev/gpiochip0");
        const auto in = line_called(chip, arguments[1]);
        const auto out = line_called(chip, arguments[2]);
        auto edges = chip.prepare_request()
                         .set_consumer("fence")
                         .add_line_settings(in, gpiod::line_settings()
                                                    .set_direction(gpiod::line::direction::INPUT)
                                                    .set_edge_detection(gpiod::line::edge::RISING))
                         .do_request();
        auto answer =
            chip.prepare_request()
                .set_consumer("fence")
                .add_line_settings(out, gpiod::line_settings().set_direction(gpiod::line::direction::OUTPUT))
                .do_request();
        std::cout << "fence is ready" << std::endl;

        gpiod::edge_event_buffer buffer;
        auto level = gpiod::line::value::INACTIVE;
        for (;;) {
            const auto seen = edges.read_edge_events(buffer);
            for (std::size_t edge = 0; edge < seen; ++edge) {
                level = level == gpiod::line::value::ACTIVE ? gpiod::line::value::INACTIVE
                                                            : gpiod::line::value::ACTIVE;
                answer.set_value(out, level);
            }
        }
    } catch (const std::exception& error) {
        std::cerr << "fence: " << error.what() << "\n";
        return EXIT_FAILURE;
    }
}
