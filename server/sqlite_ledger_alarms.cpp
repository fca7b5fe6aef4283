#include "server/sqlite_ledger_impl.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr std::chrono::hours contested_once{24};
constexpr std::chrono::minutes clocks_agree{10}; // two that are both synchronised

// As far as they can be compared: within a boot by the uptime.
bool measured_after(const Reading& reading, const Reading& other)
{
    if (reading.boot == other.boot)
        return reading.uptime > other.uptime;
    return reading.clock == Clock::synchronised && other.clock == Clock::synchronised &&
           reading.measured_at > other.measured_at + clocks_agree;
}

// When it was measured is all that is asked of it.
std::optional<LedgerReading> look_up_reading(LedgerFile& file, const char* sql, std::int64_t life,
                                             Sequence bound)
{
    const auto query = file.query(sql);
    query->bind(1, life);
    query->bind(2, row::number(bound.value));
    if (!query->executeStep())
        return std::nullopt;
    return row::reading_from(file, *query, Epoch{}, EpochFacts{});
}

// Where a meter has begun a newer epoch it goes on in that one only. (Sequence 1 tells where an epoch starts, not when.)
// Told once an epoch, until the ledger is opened anew.
bool goes_on_beside_a_newer_epoch(LedgerFile& file, const row::Life& life, const Reading& reading)
{
    if (!life.newer)
        return false;
    const auto newer = look_up_reading(
        file, "SELECT sequence, facts FROM reading WHERE life = ? AND sequence > ? ORDER BY sequence LIMIT 1",
        *life.newer, Sequence{1});
    if (!newer || !measured_after(reading, newer->reading))
        return false;
    return file.clones_told.insert(life.id).second;
}

// A disk says so by itself. One that went back to a register says the same, since an epoch of the other is newer.
bool knew_less_than_the_server(LedgerFile& file, const row::Life& life, const Reading& reading)
{
    if ((reading.events & static_cast<std::uint32_t>(MeterEvent::server_was_ahead)) == 0)
        return false;
    const auto before =
        file.query("SELECT source FROM life WHERE meter = ? AND epoch < ? ORDER BY epoch DESC LIMIT 1");
    before->bind(1, life.meter);
    before->bind(2, reading.epoch.value);
    return before->executeStep() && before->getColumn(0).getInt() == static_cast<int>(reading.source);
}

// Two disks that come of one: a meter's own sign that the server knows more than its disk, or two epochs at once.
std::optional<LedgerEvent> note_clone(LedgerFile& file, const MeterId& meter, const row::Life& life,
                                      const Reading& reading, WallTime now)
{
    std::string_view sign;
    if (knew_less_than_the_server(file, life, reading)) {
        sign =
            "this server knew more than the meter's disk: an older copy of it was put back, or runs beside "
            "it";
    } else if (goes_on_beside_a_newer_epoch(file, life, reading)) {
        sign = "was measured after a newer epoch began: a copy of the meter's disk runs beside it";
    } else {
        return std::nullopt;
    }
    LedgerEvent event{
        now, EventKind::clone, meter,
        fmt::format("{}: {}; if two run, what both count is added up: stop one, and give it an id "
                    "of its own with `meter-server meter add`",
                    row::describe(reading), sign)};
    row::insert_event(file, event);
    return event;
}

// Told within the last day: whoever is the broker makes as many of these as it likes, and the other events are to stay.
bool was_contested(LedgerFile& file, const MeterId& meter, WallTime now)
{
    const auto query =
        file.query("SELECT EXISTS (SELECT 1 FROM event WHERE kind = ? AND meter = ? AND at BETWEEN ? AND ?)");
    query->bind(1, static_cast<int>(EventKind::client_id_contested));
    query->bind(2, meter.text());
    query->bind(3, row::number(now - contested_once));
    query->bind(4, row::number(now));
    return query->executeStep() && query->getColumn(0).getInt() != 0;
}

} // namespace

std::optional<LedgerEvent> row::note_alarms(LedgerFile& file, const MeterId& meter, const Life& life,
                                            const Reading& reading, WallTime now)
{
    auto alarm = note_clone(file, meter, life, reading, now);
    if ((reading.events & static_cast<std::uint32_t>(MeterEvent::client_id_contested)) == 0)
        return alarm;
    if (was_contested(file, meter, now))
        return alarm;
    LedgerEvent contested{now, EventKind::client_id_contested, meter,
                          "tells that another program may come to the broker with its client id"};
    row::insert_event(file, contested);
    return alarm ? alarm : std::move(contested);
}

} // namespace pulsemeter
