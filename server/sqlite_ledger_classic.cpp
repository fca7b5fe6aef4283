#include "server/sqlite_ledger_impl.hpp"
#include "shared/classic_codec.hpp"

namespace pulsemeter {
namespace {

// The epoch that the classic wire fills: the newest one, if it is its own.
struct Newest {
    Epoch highest; // of whatever source, 0: none
    std::optional<row::Life> life;
};

Newest newest_life(LedgerFile& file, const MeterId& meter)
{
    const auto query = file.query("SELECT ifnull(max(l.epoch), 0) FROM meter m JOIN life l ON l.meter = m.id "
                                  "WHERE m.name = ?");
    query->bind(1, meter.text());
    query->executeStep();
    Newest newest{Epoch{row::small(query->getColumn(0))}, std::nullopt};
    auto life = row::find_life(file, meter, newest.highest);
    if (life && life->facts.source == Source::unstated)
        newest.life = life;
    return newest;
}

std::optional<Reading> newest_reading(LedgerFile& file, const Newest& newest)
{
    if (!newest.life)
        return std::nullopt;
    const auto query =
        file.query("SELECT sequence, facts FROM reading WHERE life = ? ORDER BY sequence DESC LIMIT 1");
    query->bind(1, newest.life->id);
    if (!query->executeStep())
        return std::nullopt;
    return row::reading_from(file, *query, newest.highest, newest.life->facts).reading;
}

// No clock of the meter's is known, so the time of the receipt stands for it.
Reading numbered(Epoch epoch, Sequence sequence, Pulses total, WallTime received_at)
{
    return {.epoch = epoch,
            .sequence = sequence,
            .total = total,
            .constant = classic_constant,
            .measured_at = received_at,
            .source = Source::unstated};
}

ClassicAppended begin(LedgerFile& file, const MeterId& meter, Epoch epoch, Pulses total, WallTime now)
{
    Reading reading = numbered(epoch, Sequence{1}, Pulses{0}, now);
    const row::Life life = row::start_epoch(file, meter, reading, now);
    row::insert_reading(file, life, reading, now, Standing::admitted);
    if (total.value > 0) {
        reading = numbered(epoch, Sequence{2}, total, now);
        row::insert_reading(file, life, reading, now, Standing::admitted);
    }
    return {ClassicOutcome::accepted, reading};
}

} // namespace

ClassicAppended SqliteLedger::append_total(const MeterId& meter, Pulses total, WallTime received_at)
{
    return impl_->write([&](LedgerFile& file) -> ClassicAppended {
        const Newest newest = newest_life(file, meter);
        const auto stored = newest_reading(file, newest);
        if (!stored)
            return begin(file, meter, Epoch{newest.highest.value + 1}, total, received_at);
        if (total == stored->total)
            return {ClassicOutcome::equal, *stored};
        if (total < stored->total)
            return {ClassicOutcome::fell, *stored};
        const Reading reading =
            numbered(stored->epoch, Sequence{stored->sequence.value + 1}, total, received_at);
        row::insert_reading(file, *newest.life, reading, received_at, Standing::admitted);
        return {ClassicOutcome::accepted, reading};
    });
}

Pulses SqliteLedger::total_of(const MeterId& meter)
{
    return impl_->look([&](LedgerFile& file) {
        const auto stored = newest_reading(file, newest_life(file, meter));
        return stored ? stored->total : Pulses{0};
    });
}

} // namespace pulsemeter
