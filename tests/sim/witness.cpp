#include "tests/sim/witness.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter::sim {

namespace {

std::size_t at(Source source)
{
    return static_cast<std::size_t>(source);
}

std::string describe(const MeterId& meter, const Reading& reading)
{
    return fmt::format("{} epoch {} reading {} (total {}, {})", meter.text(), reading.epoch.value,
                       reading.sequence.value, reading.total.value, text(reading.source));
}

[[noreturn]] void violated(const std::string& what)
{
    throw Violation{what};
}

bool covers(const Confirmation& range, const ReadingKey& key)
{
    return range.epoch == key.epoch && range.first <= key.sequence && key.sequence <= range.last;
}

auto first_in(const std::set<ReadingKey>& rows, const Confirmation& range)
{
    return rows.lower_bound({range.epoch, range.first});
}

auto end_of(const std::set<ReadingKey>& rows, const Confirmation& range)
{
    return rows.upper_bound({range.epoch, range.last});
}

bool counts(Standing standing)
{
    return standing != Standing::discarded;
}

} // namespace

void Witness::pulses(const MeterId& meter, Source source, std::uint64_t count)
{
    of(meter).pulses.at(at(source)) += count;
}

void Witness::program_started(const MeterId& meter, Source source)
{
    of(meter).source = source;
    of(meter).started = ++moment_;
}

void Witness::made(Truth& truth, const Reading& reading)
{
    auto& contents = truth.made[key(reading)];
    if (std::find(contents.begin(), contents.end(), reading) == contents.end())
        contents.push_back(reading);
}

void Witness::check_register(const MeterId& meter, Truth& truth, Source source,
                             const std::optional<StoredRegister>& found)
{
    auto& lasting = truth.lasting.at(at(source));
    auto& highest = truth.highest.at(at(source));
    const bool attempted =
        found && std::any_of(truth.attempts.begin(), truth.attempts.end(),
                             [&](const Attempt& attempt) { return attempt.change.register_now == *found; });
    if (!truth.disk_changed && found != lasting && !attempted)
        violated(fmt::format("{}: the {} register on the disk ({}) is not the one that was committed ({})",
                             meter.text(), text(source), found ? found->total.value : 0,
                             lasting ? lasting->total.value : 0));
    if (found && found->total.value > truth.pulses.at(at(source)))
        violated(fmt::format("{}: a register above what was counted", meter.text()));
    lasting = found;
    if (found)
        highest = std::max(highest, found->total.value);
}

// P1, P2: what was committed is there, or a later attempt of which the program only knows that it failed.
void Witness::store_opened(const MeterId& meter, const Found& found)
{
    Truth& truth = of(meter);
    check_register(meter, truth, Source::measured, found.measured);
    check_register(meter, truth, Source::simulated, found.simulated);
    std::set<ReadingKey> rows;
    for (const Reading& row : found.rows) {
        const auto contents = truth.made.find(key(row));
        if (contents == truth.made.end() ||
            std::find(contents->second.begin(), contents->second.end(), row) == contents->second.end())
            violated(describe(meter, row) + " on the disk was never committed");
        truth.durable.insert(row);
        rows.insert(key(row));
    }
    for (const ReadingKey& missing : truth.outbox) {
        const bool may_be_gone =
            truth.disk_changed || rows.contains(missing) ||
            std::any_of(truth.attempts.begin(), truth.attempts.end(), [&](const Attempt& attempt) {
                return attempt.change.reading || // a full outbox may have been thinned by it
                       std::any_of(attempt.confirmed.begin(), attempt.confirmed.end(),
                                   [&](const Confirmation& range) { return covers(range, missing); });
            });
        if (!may_be_gone)
            violated(fmt::format("{}: reading {} of epoch {} was committed and is gone", meter.text(),
                                 missing.sequence.value, missing.epoch.value));
    }
    truth.outbox = rows;
    truth.attempts.clear();
    truth.disk_changed = false;
}

void Witness::will_commit(const MeterId& meter, const StoreChange& change)
{
    Truth& truth = of(meter);
    const StoredRegister& now = change.register_now;
    const auto& before = truth.lasting.at(at(now.source));
    if (now.source != truth.source || (change.reading && change.reading->source != truth.source))
        violated(meter.text() + ": pulses of one source are stored as those of the other");
    if (now.total.value > truth.pulses.at(at(now.source)))
        violated(fmt::format("{}: the register {} is above the true total {}", meter.text(), now.total.value,
                             truth.pulses.at(at(now.source))));
    if (before && now.total < before->total)
        violated(meter.text() + ": the register falls");
    if (before && now.epoch < before->epoch)
        violated(meter.text() + ": the epoch falls");
    if (change.confirmed.size() > most_ranges || change.refused.size() > most_ranges)
        violated(meter.text() + ": what it keeps in mind is without bounds");
    for (const Confirmation& range : change.confirmed)
        for (auto row = first_in(truth.outbox, range); row != end_of(truth.outbox, range); ++row)
            if (!truth.ever_confirmed.contains(*row))
                violated(fmt::format("{}: reading {} of epoch {} is forgotten, and nobody has confirmed it",
                                     meter.text(), row->sequence.value, row->epoch.value));
    if (change.reading)
        made(truth, *change.reading);
}

void Witness::commit_failed(const MeterId& meter, const StoreChange& change)
{
    Attempt attempt{change, {change.confirmed.begin(), change.confirmed.end()}};
    attempt.change.confirmed = {};
    attempt.change.refused = {};
    of(meter).attempts.push_back(std::move(attempt));
}

void Witness::committed(const MeterId& meter, const StoreChange& change)
{
    Truth& truth = of(meter);
    const StoredRegister& now = change.register_now;
    truth.attempts.clear();
    truth.lasting.at(at(now.source)) = now;
    auto& highest = truth.highest.at(at(now.source));
    highest = std::max(highest, now.total.value);
    for (const Confirmation& range : change.confirmed)
        truth.outbox.erase(first_in(truth.outbox, range), end_of(truth.outbox, range));
    if (change.reading) {
        truth.durable.insert(*change.reading);
        if (!truth.outbox.insert(key(*change.reading)).second)
            violated(describe(meter, *change.reading) + " has a number that is taken");
        const auto row = truth.rows.find(key(*change.reading));
        if (row != truth.rows.end() && row->second.moment < truth.started)
            violated(describe(meter, *change.reading) + " has a number that the server knew when it greeted");
    }
}

// Nothing is missing but what was confirmed or thinned; and of what is thinned never the newest, nor the first of an
// epoch.
void Witness::check_outbox(const MeterId& meter, std::size_t thinned, MeterStore& store)
{
    Truth& truth = of(meter);
    if (const std::size_t rows = store.outbox_size(); rows + thinned != truth.outbox.size())
        violated(fmt::format("{}: {} readings in the outbox, {} thinned out, where there were {}",
                             meter.text(), rows, thinned, truth.outbox.size()));
    if (thinned == 0)
        return;
    std::set<ReadingKey> left;
    for (const auto& rows : {store.outbox({}, SIZE_MAX >> 1U), store.held({}, SIZE_MAX >> 1U)})
        for (const Reading& row : rows)
            left.insert(key(row));
    for (const ReadingKey& row : truth.outbox)
        if (!left.contains(row) && (row.sequence.value == 1 || row == *truth.outbox.rbegin()))
            violated(meter.text() + ": the outbox is thinned where it must not be");
    truth.outbox = left;
}

void Witness::rows_read(const MeterId& meter, std::span<const Reading> rows) const
{
    for (const Reading& row : rows)
        if (!of(meter).durable.contains(row))
            violated(describe(meter, row) + " is read back, and its commit has failed");
}

void Witness::published(const MeterId& meter, const Reading& reading)
{
    Truth& truth = of(meter);
    if (!truth.durable.contains(reading))
        violated(describe(meter, reading) + " is published and not on the disk");
    const auto [known, is_new] = truth.published.emplace(key(reading), reading);
    if (!is_new && known->second != reading)
        violated(describe(meter, reading) + " has a number that was published with other content");
}

void Witness::image_put_back(const MeterId& meter)
{
    Truth& truth = of(meter);
    truth.disk_changed = true;
    truth.rolled_back = true;
    truth.published.clear();
}

void Witness::store_lost(const MeterId& meter)
{
    Truth& truth = of(meter);
    truth.disk_changed = true;
    truth.rolled_back = true;
    truth.published.clear();
}

void Witness::said_out_of_order(const MeterId& meter, const Reading& reading)
{
    Truth& truth = of(meter);
    made(truth, reading);
    truth.said_past.insert(reading);
    truth.rolled_back = true;
}

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
        return other.epoch == reading.epoch && !truth.rows.contains(key(other));
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
    for (const IncomingReading& incoming : readings)
        of(incoming.meter).perhaps.insert(incoming.reading);
}

void Witness::resolved(const HeldReading& held, Standing standing)
{
    Truth& truth = of(held.meter);
    if (truth.rows.contains(key(held.reading)))
        return; // a conflict: nothing changes
    check_row(held.meter, held.reading);
    truth.overruled = truth.overruled || (truth.rolled_back && standing == Standing::accepted_by_operator);
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
    }
    ledger_was_put_back_ = false;
}

void Witness::ledger_put_back()
{
    ledger_was_put_back_ = true;
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
        std::uint64_t consumed = 0;
        for (const ConsumedPulses& part : summary->consumption)
            consumed += part.pulses.value;
        // One that was said past the register and came before the first of its epoch is where that begins then: whoever
        // has the key may say so.
        const bool is_misled = std::any_of(truth.said_past.begin(), truth.said_past.end(),
                                           [&rows = truth.rows](const Reading& said) {
                                               const auto row = rows.find(key(said));
                                               return row != rows.end() && row->second.reading == said;
                                           });
        if (!truth.overruled && !is_misled && consumed > counted)
            violated(
                fmt::format("{}: {} pulses are billed, {} were counted", meter.text(), consumed, counted));
        const auto is_newer = [&](const auto& row) {
            return counts(row.second.standing) && row.first > key(newest);
        };
        if (std::any_of(truth.rows.begin(), truth.rows.end(), is_newer))
            violated(meter.text() + ": the server's newest reading is not its newest");
    }
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
