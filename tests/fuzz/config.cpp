// The meter's and the server's settings: values, or one UsageError that names the file.
#include "meter-pi/meter_settings.hpp"
#include "server/server_settings.hpp"
#include "shared/errors.hpp"
#include "tests/fuzz/require.hpp"

#include <cstring>

using namespace pulsemeter;

namespace {

template <typename Parse>
void parses_or_refuses(const Parse& parse, std::string_view text)
{
    try {
        (void)parse(text, "settings.toml");
    } catch (const UsageError& error) {
        REQUIRE(std::strstr(error.what(), "settings.toml") != nullptr);
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    parses_or_refuses(parse_meter_settings, text);
    parses_or_refuses(parse_server_settings, text);
    return 0;
}
