#include "server/day_sealer.hpp"

#include "shared/log.hpp"

#include <exception>
#include <utility>

namespace pulsemeter {

DaySealer::SteadyTime DaySealer::turn(SteadyTime now, WallTime wall)
{
    if (now < due_)
        return due_;
    due_ = now + looked_every;
    try {
        const auto today = std::chrono::floor<std::chrono::days>(wall);
        if (waiting_.empty() && looked_on_ != today) {
            const auto found = ledger_.unsealed(wall);
            waiting_.assign(found.begin(), found.end());
            looked_on_ = today;
            left_some_ = false;
        }
        if (!waiting_.empty()) {
            seal_next(wall);
            if (waiting_.empty()) {
                if (const auto head = ledger_.head(); head && !left_some_)
                    log::info("the ledger is sealed up to yesterday; its head: {}", text(*head));
            } else {
                due_ = now;
            }
        }
        trouble_told_ = false;
    } catch (const std::exception& error) {
        if (!std::exchange(trouble_told_, true))
            log::error("{}; the days that are over are not sealed yet; trying again", error.what());
    }
    return due_;
}

void DaySealer::seal_next(WallTime wall)
{
    const SqliteLedger::Unsealed next = waiting_.front();
    try {
        ledger_.seal(next, key_);
        waiting_.pop_front();
    } catch (const ChangedRows& changed) {
        log::error("the ledger is damaged: {}: they are not sealed; restore it from a backup",
                   changed.what());
        ledger_.record({wall, EventKind::damaged, std::nullopt, changed.what()});
        left_some_ = true;
        waiting_.pop_front();
    }
}

} // namespace pulsemeter
