// Pure: what `doctor` has found, and how it is told: one line a check, for people and (text() of the parts) scripts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

enum class Health : std::uint8_t {
    well,
    wrong,
    not_looked_at, // not used, or another finding stands before it: no fault of its own
};
[[nodiscard]] std::string_view text(Health health); // "ok", "wrong", "not looked at"

struct Finding {
    std::string check; // its name, the same at each call: "free space"
    Health health = Health::well;
    std::string found;  // what was seen
    std::string remedy; // with wrong: what to do, unless `found` says it
};

[[nodiscard]] Finding well(std::string check, std::string found);
[[nodiscard]] Finding wrong(std::string check, std::string found, std::string remedy = "");
[[nodiscard]] Finding not_looked_at(std::string check, std::string why);

[[nodiscard]] bool all_well(std::span<const Finding> findings); // nothing is wrong

enum class Marks : std::uint8_t { ascii, utf8 };
// By the locale's variables, the first that is set; each may be null.
[[nodiscard]] Marks marks_for(const char* lc_all, const char* lc_ctype, const char* lang);

// "✓ free space: 12345 MB", "✗ clock: not synchronised: sudo timedatectl set-ntp true", "- TLS: not used"
[[nodiscard]] std::string line_of(const Finding& finding, Marks marks);

} // namespace pulsemeter
