// One file on the lossy disk: what programs see, what would be left of it now, and the steps in between. For
// lossy_disk.cpp only.
#pragma once

#include "tests/disk/lossy_disk.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace pulsemeter {

using Bytes = std::vector<char>;
inline constexpr std::size_t sector = 512;

struct Step {
    std::size_t offset;           // of a truncation: the new size
    std::optional<Bytes> written; // nothing: a truncation
};

inline void perform(const Step& step, Bytes& bytes)
{
    if (!step.written) {
        bytes.resize(step.offset);
        return;
    }
    bytes.resize(std::max(bytes.size(), step.offset + step.written->size()));
    std::copy(step.written->begin(), step.written->end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(step.offset));
}

// Cut where the file's sectors end. A truncation is one piece.
inline std::vector<Step> pieces(const Step& step)
{
    if (!step.written)
        return {step};
    std::vector<Step> parts;
    for (std::size_t done = 0; done < step.written->size();) {
        const std::size_t at = step.offset + done;
        const std::size_t count = std::min(step.written->size() - done, sector - at % sector);
        const auto first = step.written->begin() + static_cast<std::ptrdiff_t>(done);
        parts.push_back({at, Bytes(first, first + static_cast<std::ptrdiff_t>(count))});
        done += count;
    }
    return parts;
}

struct LossyImage {
    Bytes seen;
    Bytes lasting;
    std::vector<Step> unsynced;

    void change(Step step)
    {
        perform(step, seen);
        unsynced.push_back(std::move(step));
    }

    void sync()
    {
        for (const Step& step : unsynced)
            perform(step, lasting);
        unsynced.clear();
    }

    // Decides what of the unsynced steps is left.
    void lose(PowerLoss loss, std::mt19937_64& random)
    {
        const auto left = [&random] { return (random() & 1U) != 0; };
        const std::size_t torn = unsynced.empty() ? 0 : random() % unsynced.size();
        for (std::size_t i = 0; i < unsynced.size(); ++i) {
            const bool whole = loss == PowerLoss::kept || (loss == PowerLoss::subset && left()) ||
                               (loss == PowerLoss::torn && i < torn);
            const bool in_part = loss == PowerLoss::scattered || (loss == PowerLoss::torn && i == torn);
            if (whole)
                perform(unsynced[i], lasting);
            else if (in_part)
                for (const Step& piece : pieces(unsynced[i]))
                    if (left())
                        perform(piece, lasting);
        }
        unsynced.clear();
    }
};

} // namespace pulsemeter
