// Seals the ledger's days when they are over (audit.hpp), one meter's day a turn, so that readings are taken in
// between. At its first turn it seals what was left open while no server ran. A failure is told and tried again a
// minute later; rows that are not what was stored are never sealed, and told once a day. Knows no clock: the caller
// does. Keeps a reference to the ledger. One thread.
#pragma once

#include "server/sqlite_ledger.hpp"

#include <chrono>
#include <deque>

namespace pulsemeter {

class DaySealer {
public:
    using SteadyTime = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::minutes looked_every{1};

    DaySealer(SqliteLedger& ledger, const AuditKey& key) : ledger_(ledger), key_(key) {}

    // Answers when the next turn is due.
    [[nodiscard]] SteadyTime turn(SteadyTime now, WallTime wall);

private:
    void seal_next(WallTime wall);

    SqliteLedger& ledger_;
    AuditKey key_;
    std::deque<SqliteLedger::Unsealed> waiting_;
    std::optional<std::chrono::sys_days> looked_on_;
    SteadyTime due_ = SteadyTime::min();
    bool trouble_told_ = false;
    bool left_some_ = false; // of those that were waiting
};

} // namespace pulsemeter
