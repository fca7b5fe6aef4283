// What the witness asks of the meters; of the server: witness_server.cpp.
#include "tests/sim/witness_impl.hpp"

#include <algorithm>

namespace pulsemeter::sim {

namespace {

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
    const bool may_be_full = truth.outbox.size() + truth.attempts.size() >= found.outbox_limit;
    for (const ReadingKey& missing : truth.outbox) {
        const bool may_be_gone =
            truth.disk_changed || rows.contains(missing) ||
            std::any_of(truth.attempts.begin(), truth.attempts.end(), [&](const Attempt& attempt) {
                return (may_be_full && attempt.change.reading) || // it may have been thinned for it
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

// Nothing is missing but what was confirmed or thinned; and of what is thinned never the first or the last of an epoch.
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
    const auto is_last = [&](std::set<ReadingKey>::const_iterator row) {
        return std::next(row) == truth.outbox.end() || std::next(row)->epoch != row->epoch;
    };
    for (auto row = truth.outbox.begin(); row != truth.outbox.end(); ++row)
        if (!left.contains(*row) && (row->sequence.value == 1 || is_last(row)))
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

} // namespace pulsemeter::sim
