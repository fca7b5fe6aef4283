// What the witness asks of the server: rows, answers and totals.
#include "tests/sim/witness_impl.hpp"

#include <algorithm>

namespace pulsemeter::sim {

namespace {

bool counts(Standing standing)
{
    return standing != Standing::discarded;
}

std::uint64_t billed_pulses(const MeterSummary& summary)
{
    std::uint64_t sum = 0;
    for (const ConsumedPulses& part : summary.consumption)
        sum += part.pulses.value;
    return sum;
}

} // namespace

// What stands in the ledger was made by that meter, once, and its totals never fall.
void Witness::check_row(const MeterId& meter, const Reading& reading) const
{
    const Truth& truth = of(meter);
    const auto made = truth.made.find(key(reading));
    if (made == truth.made.end() ||
        std::find(made->second.begin(), made->second.end(), reading) == made->second.end())
        violated(describe(meter, reading) + " is in the ledger, and no meter has made it");
    if (reading.total.value > truth.highest.at(at(reading.source)))
        violated(describe(meter, reading) + " is above the meter's register");
}

// Between two neighbours whose totals fall already, as the operator wanted it, it may stand on either side of that.
bool Witness::makes_total_fall(const Truth& truth, Rows::const_iterator row)
{
    const Reading& reading = row->second.reading;
    const auto is_neighbour = [&](const auto& other) {
        return other.first.epoch == reading.epoch && counts(other.second.standing);
    };
    const auto after = std::find_if(std::next(row), truth.rows.end(), is_neighbour);
    const auto before = std::find_if(std::make_reverse_iterator(row), truth.rows.rend(), is_neighbour);
    // One that the operator resolved while the disk failed may stand between them.
    const auto is_unknown = [&](const Reading& other) {
        const bool is_between = (before == truth.rows.rend() || before->first < key(other)) &&
                                (after == truth.rows.end() || key(other) < after->first);
        return other.epoch == reading.epoch && is_between && !truth.rows.contains(key(other));
    };
    if (std::any_of(truth.perhaps.begin(), truth.perhaps.end(), is_unknown))
        return false;
    const bool is_below = before != truth.rows.rend() && reading.total < before->second.reading.total;
    const bool is_above = after != truth.rows.end() && reading.total > after->second.reading.total;
    const bool fell_before = before != truth.rows.rend() && after != truth.rows.end() &&
                             before->second.reading.total > after->second.reading.total;
    return fell_before ? is_below && is_above : is_below || is_above;
}

void Witness::appended(std::span<const IncomingReading> readings, std::span<const Appended> outcomes)
{
    ++moment_;
    for (std::size_t place = 0; place < readings.size(); ++place) {
        const Reading& reading = readings[place].reading;
        const MeterId& meter = readings[place].meter;
        Truth& truth = of(meter);
        const auto known = truth.rows.find(key(reading));
        if (std::holds_alternative<Duplicate>(outcomes[place].outcome) && known == truth.rows.end()) {
            if (!truth.perhaps.contains(reading))
                violated(describe(meter, reading) +
                         " is called a duplicate, and the ledger does not have it");
            truth.rows.emplace(key(reading), Row{reading, moment_});
        }
        if (std::holds_alternative<Duplicate>(outcomes[place].outcome) && known != truth.rows.end() &&
            (known->second.reading.total != reading.total ||
             known->second.reading.measured_at != reading.measured_at ||
             known->second.reading.source != reading.source))
            violated(describe(meter, reading) + " is called a duplicate of other content");
        if (!std::holds_alternative<Accepted>(outcomes[place].outcome))
            continue;
        if (known != truth.rows.end())
            violated(describe(meter, reading) + " counts twice");
        check_row(meter, reading);
        const auto row = truth.rows.emplace(key(reading), Row{reading, moment_}).first;
        if (makes_total_fall(truth, row))
            violated(describe(meter, reading) + " makes the total fall within its epoch");
    }
}

void Witness::append_failed(std::span<const IncomingReading> readings)
{
    ++moment_;
    for (const IncomingReading& incoming : readings)
        of(incoming.meter).perhaps.insert(incoming.reading);
}

void Witness::resolved(const HeldReading& held, Standing standing)
{
    Truth& truth = of(held.meter);
    if (truth.rows.contains(key(held.reading)))
        return; // a conflict: nothing changes
    check_row(held.meter, held.reading);
    truth.rows.emplace(key(held.reading), Row{held.reading, ++moment_, standing});
}

void Witness::told(const MeterId& meter, const DownMessage& message)
{
    Truth& truth = of(meter);
    if (const auto* range = std::get_if<Confirmation>(&message)) {
        for (Sequence each = range->first; each <= range->last; ++each.value) {
            if (!truth.rows.contains({range->epoch, each}))
                violated(
                    fmt::format("{}: reading {} of epoch {} is confirmed, and the ledger does not have it",
                                meter.text(), each.value, range->epoch.value));
            truth.ever_confirmed.insert({range->epoch, each});
        }
    }
    if (const auto* state = std::get_if<State>(&message); state != nullptr && state->epoch.value != 0) {
        const auto row = truth.rows.find({state->epoch, Sequence{1}});
        const auto any = row != truth.rows.end() ? row : truth.rows.lower_bound({state->epoch, Sequence{0}});
        if (any == truth.rows.end() || any->first.epoch != state->epoch)
            violated(meter.text() + ": the server tells of an epoch that it does not have");
        if (state->total.value > truth.highest.at(at(any->second.reading.source)))
            violated(meter.text() + ": the server's total is above the meter's register");
    }
}

void Witness::ledger_opened(SqliteLedger& ledger)
{
    ++moment_;
    for (auto& [meter, truth] : truths_) {
        std::map<ReadingKey, Row> found;
        ledger.readings(meter, WallTime::min(), [&, &id = meter](const LedgerReading& row) {
            check_row(id, row.reading);
            found.emplace(key(row.reading), Row{row.reading, moment_, row.standing});
        });
        for (const auto& [place, row] : truth.rows) {
            const auto there = found.find(place);
            if (!ledger_was_put_back_ && (there == found.end() || there->second.reading != row.reading))
                violated(describe(meter, row.reading) + " was committed, and is not in the ledger any more");
            if (there != found.end())
                there->second.moment = row.moment;
        }
        truth.rows = std::move(found);
        truth.perhaps.clear();
    }
    ledger_was_put_back_ = false;
}

void Witness::ledger_put_back()
{
    ledger_was_put_back_ = true;
    ledger_lacks_something_ = true;
}

void Witness::check_totals(SqliteLedger& ledger) const
{
    for (const auto& [meter, truth] : truths_) {
        const auto summary = ledger.summary(meter);
        if (!summary)
            continue;
        const Reading& newest = summary->newest;
        const std::uint64_t register_now = truth.highest.at(at(newest.source));
        const std::uint64_t counted = truth.pulses.at(at(newest.source));
        if (newest.total.value > register_now || register_now > counted)
            violated(fmt::format("{}: the server has {}, the register had at most {}, the truth is {}",
                                 meter.text(), newest.total.value, register_now, counted));
        const Sums own = sums(truth, newest.source);
        const bool all_is_known =
            std::all_of(truth.perhaps.begin(), truth.perhaps.end(),
                        [&rows = truth.rows](const Reading& reading) { return rows.contains(key(reading)); });
        if (const std::uint64_t billed = billed_pulses(*summary); all_is_known && billed != own.risen)
            violated(fmt::format("{}: {} pulses are billed, its rows rise by {}", meter.text(), billed,
                                 own.risen));
        // Without what whoever has the key may say, and without what fell and rose again, as the operator wanted it.
        if (own.grown > counted)
            violated(
                fmt::format("{}: {} pulses are billed, {} were counted", meter.text(), own.grown, counted));
        const auto is_newer = [&](const auto& row) {
            return counts(row.second.standing) && row.first > key(newest);
        };
        if (std::any_of(truth.rows.begin(), truth.rows.end(), is_newer))
            violated(meter.text() + ": the server's newest reading is not its newest");
    }
}

// Such a register begins at 0, and whatever epochs it is cut into, all of it is billed.
void Witness::check_nothing_is_lost(SqliteLedger& ledger) const
{
    for (const auto& [meter, truth] : truths_) {
        const bool was_discarded = std::any_of(truth.rows.begin(), truth.rows.end(),
                                               [](const auto& row) { return !counts(row.second.standing); });
        const auto summary = ledger.summary(meter);
        if (!summary || truth.rolled_back || was_discarded || ledger_lacks_something_)
            continue;
        if (const std::uint64_t billed = billed_pulses(*summary); billed != summary->newest.total.value)
            violated(fmt::format("{}: {} pulses are billed, and its register says {}", meter.text(), billed,
                                 summary->newest.total.value));
    }
}

Witness::Sums Witness::sums(const Truth& truth, Source source)
{
    Sums sums;
    const Row* before = nullptr;
    const Row* first = nullptr; // of its epoch
    const Row* last = nullptr;
    const auto end_epoch = [&] {
        if (first != nullptr && last->reading.total > first->reading.total)
            sums.grown += last->reading.total.value - first->reading.total.value;
        before = first = last = nullptr;
    };
    std::optional<Epoch> epoch;
    for (const auto& [place, row] : truth.rows) {
        if (!counts(row.standing) || row.reading.source != source)
            continue;
        if (epoch != place.epoch)
            end_epoch();
        epoch = place.epoch;
        if (before != nullptr && row.reading.total > before->reading.total)
            sums.risen += row.reading.total.value - before->reading.total.value;
        before = &row;
        if (truth.said_past.contains(row.reading))
            continue;
        first = first == nullptr ? &row : first;
        last = &row;
    }
    end_epoch();
    return sums;
}

bool Witness::is_greeted(const MeterId& meter) const
{
    const Truth& truth = of(meter);
    const auto waits = [](const StoredRegister& found) {
        return found.epoch.value == 0 && found.total.value > 0;
    };
    return std::none_of(truth.lasting.begin(), truth.lasting.end(),
                        [&](const auto& found) { return found && waits(*found); }) &&
           std::none_of(truth.attempts.begin(), truth.attempts.end(),
                        [&](const Attempt& attempt) { return waits(attempt.change.register_now); });
}

void Witness::perhaps_resolved(const HeldReading& held)
{
    ++moment_;
    of(held.meter).perhaps.insert(held.reading);
}

bool Witness::is_counted(const MeterId& meter, const Reading& reading) const
{
    const auto row = of(meter).rows.find(key(reading));
    return row != of(meter).rows.end() && row->second.reading == reading;
}

std::uint64_t Witness::readings_made() const
{
    std::uint64_t count = 0;
    for (const auto& [meter, truth] : truths_)
        count += truth.made.size();
    return count;
}

std::uint64_t Witness::readings_counted() const
{
    std::uint64_t count = 0;
    for (const auto& [meter, truth] : truths_)
        count += truth.rows.size();
    return count;
}

} // namespace pulsemeter::sim
