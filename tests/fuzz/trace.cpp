// A recorded trace: refused with its line, or edges that the counter may rely on.
#include "meter-pi/trace.hpp"

#include "meter-pi/pulse_counter.hpp"
#include "tests/fuzz/require.hpp"

#include <algorithm>

using namespace pulsemeter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto trace = parse_trace(text);
    if (!trace) {
        const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
        REQUIRE(!trace.error().message.empty());
        REQUIRE(trace.error().line <= lines + 1);
        return 0;
    }
    REQUIRE(std::is_sorted(trace->edges.begin(), trace->edges.end(),
                           [](const Edge& a, const Edge& b) { return a.time < b.time; }));
    return 0;
}
