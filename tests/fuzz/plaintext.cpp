// What a token held: only what encode() writes may be taken, byte by byte.
#include "shared/reading_codec.hpp"
#include "tests/fuzz/require.hpp"

#include <algorithm>

using namespace pulsemeter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const MeterId meter = *MeterId::parse("hall");
    const std::span bytes(data, size);
    if (const auto up = decode_up(meter, bytes)) {
        const Plaintext again = encode(meter, *up);
        REQUIRE(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
        REQUIRE(!decode_down(meter, bytes));
    }
    if (const auto down = decode_down(meter, bytes)) {
        const Plaintext again = encode(meter, *down);
        REQUIRE(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
    return 0;
}
