#include "server/sqlite_ledger.hpp"

#include "server/register_change.hpp"
#include "server/sqlite_ledger_impl.hpp"
#include "shared/errors.hpp"
#include "shared/reading_codec.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr std::chrono::minutes counted_once{1}; // a repeat of a refusal: a flood must not cost a sync each

struct Row {
    Neighbour neighbour;
    Standing standing = Standing::admitted;
    std::uint64_t boot = 0;
};

std::optional<Row> look_up(LedgerFile& file, LedgerFile::Query query)
{
    if (!query->executeStep())
        return std::nullopt;
    const PackedReading facts = row::facts(query->getColumn(1));
    return Row{
        {{row::natural(query->getColumn(0))}, facts.total, row::find_boot(file, facts.boot).id, facts.uptime},
        facts.standing,
        facts.boot};
}

std::optional<Row> newest_of(LedgerFile& file, const row::Life& life)
{
    auto query =
        file.query("SELECT sequence, facts FROM reading WHERE life = ? ORDER BY sequence DESC LIMIT 1");
    query->bind(1, life.id);
    return look_up(file, std::move(query));
}

// A discarded reading is no neighbour.
std::optional<Neighbour> neighbour(LedgerFile& file, const char* sql, const row::Life& life,
                                   Sequence sequence)
{
    auto query = file.query(sql);
    query->bind(1, life.id);
    query->bind(2, row::number(sequence.value));
    const auto found = look_up(file, std::move(query));
    return found ? std::optional(found->neighbour) : std::nullopt;
}

// What the epoch holds around that sequence.
void look_around(LedgerFile& file, row::Life& life, Sequence sequence, AdmissionContext& context)
{
    const auto newest = newest_of(file, life);
    if (newest)
        life.newest_boot = newest->boot;
    if (newest && newest->neighbour.sequence < sequence && newest->standing != Standing::discarded) {
        context.previous = newest->neighbour; // as nearly always
        return;
    }
    context.same = row::find_same(file, life, sequence);
    if (context.same)
        return;
    context.previous = neighbour(file,
                                 "SELECT sequence, facts FROM reading WHERE life = ? AND sequence < ? "
                                 "AND facts < x'80' ORDER BY sequence DESC LIMIT 1",
                                 life, sequence);
    context.next = neighbour(file,
                             "SELECT sequence, facts FROM reading WHERE life = ? AND sequence > ? "
                             "AND facts < x'80' ORDER BY sequence LIMIT 1",
                             life, sequence);
}

std::int64_t make_meter(LedgerFile& file, const MeterId& meter)
{
    if (const auto known = row::find_meter(file, meter))
        return *known;
    const auto query = file.query("INSERT INTO meter (name) VALUES (?)");
    query->bind(1, meter.text());
    query->exec();
    return file.database().getLastInsertRowid();
}

// A reading that was refused fits by now (its neighbours came), or another one took its place.
void settle_held(LedgerFile& file, const MeterId& meter, const row::Life& life, const Reading& reading,
                 WallTime now)
{
    const auto held = row::find_held(file, meter, life.meter, reading.epoch, reading.sequence);
    if (!held) { // or damaged
        row::delete_held(file, life.meter, reading.epoch, reading.sequence);
        return;
    }
    const Reading& other = held->reading;
    if (other.total == reading.total && other.measured_at == reading.measured_at &&
        other.source == reading.source) {
        row::delete_held(file, life.meter, reading.epoch, reading.sequence);
        row::insert_event(file, {now, EventKind::held_resolved, meter, row::describe(reading) + " fits now"});
        return;
    }
    const auto query =
        file.query("UPDATE held SET reason = ? WHERE meter = ? AND epoch = ? AND sequence = ?");
    query->bind(1, static_cast<int>(RefusalReason::conflict));
    query->bind(2, life.meter);
    query->bind(3, reading.epoch.value);
    query->bind(4, row::number(reading.sequence.value));
    query->exec();
    row::insert_event(file,
                      {now, EventKind::conflict, meter,
                       row::describe(reading) + " took the number of a refused reading with other content"});
}

// How many wait for the operator; they are counted only when so many were ever refused that it could matter.
std::uint64_t held_rows(LedgerFile& file, std::int64_t meter_key)
{
    const auto ever = file.query("SELECT refused FROM meter WHERE id = ?");
    ever->bind(1, meter_key);
    ever->executeStep();
    const std::uint64_t refused = row::natural(ever->getColumn(0));
    if (refused < SqliteLedger::most_held_per_meter - 1)
        return refused;
    const auto query = file.query("SELECT count(*) FROM held WHERE meter = ? AND dismissed = 0");
    query->bind(1, meter_key);
    query->executeStep();
    return row::natural(query->getColumn(0));
}

Notice see_again(LedgerFile& file, const row::Life& life, const Reading& reading, WallTime last_seen,
                 WallTime now)
{
    if (now < last_seen || now - last_seen >= counted_once) {
        const auto query = file.query("UPDATE held SET repeats = repeats + 1, last_seen = ? "
                                      "WHERE meter = ? AND epoch = ? AND sequence = ?");
        query->bind(1, row::number(now));
        query->bind(2, life.meter);
        query->bind(3, reading.epoch.value);
        query->bind(4, row::number(reading.sequence.value));
        query->exec();
    }
    return Notice::repeated;
}

Notice hold(LedgerFile& file, const MeterId& meter, const row::Life& life, const Reading& reading,
            RefusalReason reason, WallTime now)
{
    if (const auto held = row::find_held(file, meter, life.meter, reading.epoch, reading.sequence))
        return see_again(file, life, reading, held->last_seen, now);
    const std::uint64_t rows = held_rows(file, life.meter);
    if (rows >= SqliteLedger::most_held_per_meter)
        return Notice::repeated;

    const auto query = file.query(
        "INSERT OR REPLACE INTO held (meter, epoch, sequence, reason, first_seen, last_seen, content, "
        "checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7)"); // replaces a damaged one
    const Plaintext content = encode(meter, UpMessage{reading});
    query->bind(1, life.meter);
    query->bind(2, reading.epoch.value);
    query->bind(3, row::number(reading.sequence.value));
    query->bind(4, static_cast<int>(reason));
    query->bind(5, row::number(now));
    query->bind(6, content.data(), static_cast<int>(content.size()));
    query->bind(7, std::int64_t{checksum(content)});
    query->exec();
    const auto count = file.query("UPDATE meter SET refused = refused + 1 WHERE id = ?");
    count->bind(1, life.meter);
    count->exec();

    const auto kind = reason == RefusalReason::conflict ? EventKind::conflict : EventKind::refused;
    row::insert_event(file, {now, kind, meter, fmt::format("{}: {}", row::describe(reading), text(reason))});
    if (rows + 1 == SqliteLedger::most_held_per_meter)
        row::insert_event(file, {now, EventKind::held_full, meter, "further refused readings are not kept"});
    return Notice::first_time;
}

Appended append_one(LedgerFile& file, const IncomingReading& incoming, WallTime now)
{
    const Reading& reading = incoming.reading;
    auto life = row::find_life(file, incoming.meter, reading.epoch);
    AdmissionContext context;
    context.max_kw = incoming.max_kw;
    if (life) {
        context.epoch = life->facts;
        look_around(file, *life, reading.sequence, context);
    }

    const Outcome outcome = admit(reading, context);
    if (std::holds_alternative<Accepted>(outcome)) {
        if (!life)
            life = row::start_epoch(file, incoming.meter, reading, now);
        row::insert_reading(file, *life, reading, now, Standing::admitted, incoming.delivery);
        if (const auto change = register_change(reading))
            row::insert_event(file, {now, EventKind::register_set, incoming.meter, *change});
        if (life->overruled)
            row::note_falls(file, *life, reading.sequence);
        if (life->refusals == row::Refusals::some)
            settle_held(file, incoming.meter, *life, reading, now);
        return {outcome, Notice::first_time, row::note_alarms(file, incoming.meter, *life, reading, now)};
    }
    if (std::holds_alternative<Duplicate>(outcome))
        return {outcome};
    const auto* rejected = std::get_if<Rejected>(&outcome);
    const RefusalReason reason = rejected != nullptr ? rejected->reason : RefusalReason::conflict;
    return {outcome, hold(file, incoming.meter, *life, reading, reason, now)};
}

// Of a source's newest epoch.
void describe_register(LedgerFile& file, std::int64_t meter_key, Source source, State& state)
{
    const auto life = file.query("SELECT id, epoch, imp, start FROM life WHERE meter = ? AND source = ? "
                                 "ORDER BY epoch DESC LIMIT 1");
    life->bind(1, meter_key);
    life->bind(2, static_cast<int>(source));
    if (!life->executeStep())
        return;
    state.epoch = Epoch{row::small(life->getColumn(1))};
    state.constant = MeterConstant{row::small(life->getColumn(2))};
    state.start = MilliwattHours{row::natural(life->getColumn(3))};

    const auto numbers =
        file.query("SELECT max((SELECT max(sequence) FROM reading WHERE life = ?1), ifnull((SELECT "
                   "max(sequence) FROM held WHERE meter = ?2 AND epoch = ?3), 0))");
    numbers->bind(1, life->getColumn(0).getInt64());
    numbers->bind(2, meter_key);
    numbers->bind(3, state.epoch.value);
    numbers->executeStep();
    state.sequence = Sequence{row::natural(numbers->getColumn(0))};

    const auto newest = file.query("SELECT facts FROM reading WHERE life = ? AND facts < x'80' "
                                   "ORDER BY sequence DESC LIMIT 1");
    newest->bind(1, life->getColumn(0).getInt64());
    if (newest->executeStep())
        state.total = row::facts(newest->getColumn(0)).total;
}

} // namespace

std::string row::describe(const Reading& reading)
{
    return fmt::format("epoch {} reading {} (total {})", reading.epoch.value, reading.sequence.value,
                       reading.total.value);
}

row::Life row::start_epoch(LedgerFile& file, const MeterId& meter, const Reading& first, WallTime now)
{
    const std::int64_t meter_key = make_meter(file, meter);
    const auto query =
        file.query("INSERT INTO life (meter, epoch, imp, start, source) VALUES (?, ?, ?, ?, ?)");
    query->bind(1, meter_key);
    query->bind(2, first.epoch.value);
    query->bind(3, first.constant.imp_per_kwh);
    query->bind(4, row::number(first.start.value));
    query->bind(5, static_cast<int>(first.source));
    query->exec();
    const row::Life life{file.database().getLastInsertRowid(), meter_key, epoch_facts(first)};
    if (first.sequence.value > 1) { // an epoch whose beginning a backup may lack
        const auto gap = file.query("INSERT INTO gap (life, after) SELECT ?, 0 FROM restoration LIMIT 1");
        gap->bind(1, life.id);
        gap->exec();
    }
    row::insert_event(file, {now, EventKind::epoch_started, meter,
                             fmt::format("{}, {} imp/kWh, {}", row::describe(first),
                                         first.constant.imp_per_kwh, text(first.source))});
    if (first.source != Source::unstated) // whose numbers are the ledger's own
        row::note_open_end(file, meter, life, first.epoch, now);
    return life;
}

SqliteLedger::SqliteLedger(const std::filesystem::path& file, LedgerAccess access)
    : impl_(std::make_unique<Impl>(Impl{file, access, std::nullopt, LastUse::clean}))
{
    try {
        impl_->open();
    } catch (const SQLite::Exception& failure) {
        if (is_for_the_operator(failure))
            throw UsageError(explain(file, failure));
        throw std::runtime_error(explain(file, failure));
    }
    if (access == LedgerAccess::create)
        impl_->access = LedgerAccess::write; // one that vanishes later is not made anew
}

SqliteLedger::~SqliteLedger() = default;

std::vector<Appended> SqliteLedger::append(std::span<const IncomingReading> readings, WallTime received_at)
{
    if (readings.empty())
        return {};
    return impl_->write([&](LedgerFile& file) {
        std::vector<Appended> outcomes;
        outcomes.reserve(readings.size());
        for (const IncomingReading& incoming : readings)
            outcomes.push_back(append_one(file, incoming, received_at));
        return outcomes;
    });
}

State SqliteLedger::state_for(const MeterId& meter, Source source)
{
    return impl_->look([&](LedgerFile& file) {
        State state;
        state.constant.imp_per_kwh = 0;
        const auto key = row::find_meter(file, meter);
        if (!key)
            return state;
        const auto highest = file.query("SELECT ifnull(max(epoch), 0) FROM life WHERE meter = ?");
        highest->bind(1, *key);
        highest->executeStep();
        state.highest_epoch = Epoch{row::small(highest->getColumn(0))};
        describe_register(file, *key, source, state);
        return state;
    });
}

void SqliteLedger::record(const LedgerEvent& event)
{
    impl_->write([&event](LedgerFile& file) {
        row::insert_event(file, event);
        return true;
    });
}

} // namespace pulsemeter
