#include "server/sqlite_ledger_impl.hpp"
#include "shared/classic_codec.hpp"

namespace pulsemeter {
namespace {

// The epoch that the classic wire filled last. It goes on in it, unless the meter was on the sealed wire since.
struct Newest {
    Epoch highest; // of whatever source, 0: none
    Epoch epoch;   // of `life`
    std::optional<row::Life> life;
};

Newest newest_life(LedgerFile& file, const MeterId& meter)
{
    static_assert(static_cast<int>(Source::unstated) == 3);
    const auto query = file.query("SELECT ifnull(max(l.epoch), 0), ifnull(max(l.epoch) FILTER (WHERE "
                                  "l.source = 3), 0) FROM meter m JOIN life l ON l.meter = m.id "
                                  "WHERE m.name = ?");
    query->bind(1, meter.text());
    query->executeStep();
    const Epoch epoch{row::small(query->getColumn(1))};
    return {Epoch{row::small(query->getColumn(0))}, epoch, row::find_life(file, meter, epoch)};
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
    return row::reading_from(file, *query, newest.epoch, newest.life->facts).reading;
}

struct Receipt {
    WallTime at{};
    Delivery delivery = Delivery::live;
};

// A loop of the two may turn many times a second, and must not cost a sync each.
void hear(LedgerFile& file, std::int64_t life, const Receipt& receipt)
{
    if (receipt.delivery == Delivery::retained)
        return;
    const auto before = row::find_heard(file, life);
    if (before && receipt.at >= before->at && receipt.at - before->at < classic_heard_every)
        return;
    const auto query = file.query("INSERT OR REPLACE INTO heard (life, at, gap) VALUES (?, ?, ?)");
    query->bind(1, life);
    query->bind(2, row::number(receipt.at));
    if (before && receipt.at > before->at) {
        query->bind(3, static_cast<std::int64_t>((receipt.at - before->at).count()));
    } else {
        query->bind(3); // the first time, or this clock was set back
    }
    query->exec();
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

// From what an earlier epoch of this wire has counted.
ClassicAppended begin(LedgerFile& file, const MeterId& meter, Epoch epoch, Pulses counted, Pulses total,
                      const Receipt& receipt)
{
    Reading reading = numbered(epoch, Sequence{1}, counted, receipt.at);
    const row::Life life = row::start_epoch(file, meter, reading, receipt.at);
    row::insert_reading(file, life, reading, receipt.at, Standing::admitted, receipt.delivery);
    if (total > counted) {
        reading = numbered(epoch, Sequence{2}, total, receipt.at);
        row::insert_reading(file, life, reading, receipt.at, Standing::admitted, receipt.delivery);
    }
    hear(file, life.id, receipt);
    return {ClassicOutcome::accepted, reading};
}

ClassicAppended decide(LedgerFile& file, const MeterId& meter, Pulses total, const Receipt& receipt)
{
    const Newest newest = newest_life(file, meter);
    const auto stored = newest_reading(file, newest);
    if (stored && total < stored->total)
        return {ClassicOutcome::fell, *stored};
    if (!stored || newest.epoch < newest.highest) {
        return begin(file, meter, Epoch{newest.highest.value + 1}, stored ? stored->total : Pulses{0}, total,
                     receipt);
    }
    hear(file, newest.life->id, receipt);
    if (total == stored->total)
        return {ClassicOutcome::equal, *stored};
    const Reading reading = numbered(stored->epoch, Sequence{stored->sequence.value + 1}, total, receipt.at);
    row::insert_reading(file, *newest.life, reading, receipt.at, Standing::admitted, receipt.delivery);
    return {ClassicOutcome::accepted, reading};
}

} // namespace

std::optional<row::Heard> row::find_heard(LedgerFile& file, std::int64_t life)
{
    const auto query = file.query("SELECT at, gap FROM heard WHERE life = ?");
    query->bind(1, life);
    if (!query->executeStep())
        return std::nullopt;
    Heard heard{time(query->getColumn(0)), std::nullopt};
    if (!query->getColumn(1).isNull())
        heard.gap = std::chrono::milliseconds(number(natural(query->getColumn(1))));
    return heard;
}

ClassicAppended SqliteLedger::append_total(const MeterId& meter, Pulses total, WallTime received_at,
                                           Delivery delivery)
{
    return impl_->write([&](LedgerFile& file) {
        return decide(file, meter, total, {received_at, delivery});
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
