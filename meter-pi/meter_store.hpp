// Port: what outlives the meter program: the registers, the outbox of readings that the server has not
// confirmed, and the last confirmation. One thread. Every call throws StoreError when the disk fails; then
// nothing of the call has happened, and a later call may try again: a commit is written anew, never its sync alone.
#pragma once

#include "meter-pi/energy_register.hpp"
#include "shared/reading.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace pulsemeter {

struct StoreError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A reading's place in the outbox, oldest first.
struct ReadingKey {
    Epoch epoch;
    Sequence sequence;
    auto operator<=>(const ReadingKey&) const = default;
};
[[nodiscard]] inline ReadingKey key(const Reading& reading)
{
    return {reading.epoch, reading.sequence};
}

// What one interval changes, in one transaction: one sync of the card.
struct StoreChange {
    StoredRegister register_now;
    std::optional<Reading> reading;                // to append to the outbox
    std::span<const Confirmation> confirmed = {};  // to delete from it, exactly these ranges
    std::span<const Refused> refused = {};         // to set aside as held
    std::optional<std::string> confirmation_token; // the newest, sealed as it came
    std::string condition = {};                    // for `status`: the sensor's and the link's state in words
};

class MeterStore {
public:
    virtual ~MeterStore() = default;

    [[nodiscard]] virtual std::optional<StoredRegister> load(Source source) = 0;
    [[nodiscard]] virtual Epoch highest_epoch() = 0; // of either register or any reading here; 0: none
    [[nodiscard]] virtual std::optional<std::string> confirmation_token() = 0;
    [[nodiscard]] virtual std::string condition() = 0;

    // Durable when it returns. Answers how many old readings a full outbox was thinned by (mostly 0).
    [[nodiscard]] virtual std::size_t commit(const StoreChange& change) = 0;

    // Readings after `after` that are not held, oldest first, at most `most`.
    [[nodiscard]] virtual std::vector<Reading> outbox(const ReadingKey& after, std::size_t most) = 0;
    [[nodiscard]] virtual std::vector<Reading> held(const ReadingKey& after, std::size_t most) = 0;
    [[nodiscard]] virtual std::size_t outbox_size() = 0; // held ones included
    [[nodiscard]] virtual std::size_t held_size() = 0;
};

} // namespace pulsemeter
