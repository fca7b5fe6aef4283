// A ledger in memory, on a disk that is full while `full` says so.
#pragma once

#include "server/sqlite_ledger.hpp"

#include <stdexcept>

namespace pulsemeter {

class FillingLedger : public SqliteLedger {
public:
    FillingLedger() : SqliteLedger(":memory:", LedgerAccess::create) {}
    std::vector<Appended> append(std::span<const IncomingReading> readings, WallTime received_at) override
    {
        if (full)
            throw std::runtime_error("ledger.sqlite: the disk is full");
        return SqliteLedger::append(readings, received_at);
    }
    ClassicAppended append_total(const MeterId& meter, Pulses total, WallTime received_at,
                                 Delivery delivery) override
    {
        if (full)
            throw std::runtime_error("ledger.sqlite: the disk is full");
        return SqliteLedger::append_total(meter, total, received_at, delivery);
    }
    bool full = false;
};

} // namespace pulsemeter
