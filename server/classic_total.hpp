// What became of a total of the classic wire in the ledger. Values only.
#pragma once

#include "shared/reading.hpp"

#include <cstdint>

namespace pulsemeter {

enum class ClassicOutcome : std::uint8_t {
    accepted, // above the stored total, or the first one: a row
    equal,    // to be confirmed, adds no row
    fell,     // below the stored total: changes nothing, is not answered
};

struct ClassicAppended {
    ClassicOutcome outcome = ClassicOutcome::fell;
    Reading newest; // the stored one after it, as the ledger has numbered it
};

} // namespace pulsemeter
