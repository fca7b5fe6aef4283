// What the tests of `doctor` say often.
#pragma once

#include "meter-pi/doctor.hpp"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pulsemeter {

inline const std::string key_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

inline MeterSettings settings()
{
    return parse_meter_settings("[meter]\nid = \"hall\"\nkey = \"" + key_text +
                                    "\"\n[broker]\nurl = \"mqtt://broker.example\"\n",
                                "hall.toml");
}

inline std::map<std::string, Finding> by_name(std::vector<Finding> findings)
{
    std::map<std::string, Finding> named;
    for (Finding& finding : findings)
        named.emplace(finding.check, std::move(finding));
    return named;
}

inline bool is(const Finding& finding, Health health)
{
    return finding.health == health;
}

} // namespace pulsemeter
