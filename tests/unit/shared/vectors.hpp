// tests/vectors/sealed/vectors.json, as the tests of the codec and of whole tokens read it.
#pragma once

#include "shared/reading.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace pulsemeter {

using nlohmann::json;

inline const json& vectors()
{
    static const json parsed =
        json::parse(std::ifstream(std::string(TESTS_DIR) + "/vectors/sealed/vectors.json"));
    return parsed;
}

inline std::vector<std::uint8_t> from_hex(const std::string& hex)
{
    std::vector<std::uint8_t> bytes;
    for (std::size_t place = 0; place < hex.size(); place += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(place, 2), nullptr, 16)));
    return bytes;
}

inline MeterId meter_id(const std::string& text)
{
    const auto id = MeterId::parse(text);
    BOOST_TEST_REQUIRE(id.has_value());
    return *id;
}

} // namespace pulsemeter
