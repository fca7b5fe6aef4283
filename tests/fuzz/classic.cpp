// What a token of the classic wire held: only the digits that encode_total() writes may be taken.
#include "shared/classic_codec.hpp"
#include "tests/fuzz/require.hpp"

#include <algorithm>

using namespace pulsemeter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::span bytes(data, size);
    if (const auto total = decode_total(bytes)) {
        const std::string again = encode_total(*total);
        REQUIRE(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
    return 0;
}
