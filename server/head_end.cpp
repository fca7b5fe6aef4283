#include "server/head_end.hpp"

#include "shared/ensure.hpp"
#include "shared/protocol.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace pulsemeter {

struct HeadEnd::Meter {
    MeterId id;
    std::uint32_t max_kw;
    std::string down_topic;
    crypto::Fernet up;
    crypto::Fernet down;
    std::uint64_t bad_tokens = 0; // since the last alarm
    std::optional<WallTime> last_alarm;
};

// A reading that is in the ledger for good, or refused.
struct HeadEnd::Settled {
    Meter* meter;
    Epoch epoch;
    Sequence sequence;

    [[nodiscard]] auto order() const { return std::tie(meter->id, epoch, sequence); }
    static bool before(const Settled& a, const Settled& b) { return a.order() < b.order(); }
    static bool same(const Settled& a, const Settled& b) { return a.order() == b.order(); }
    [[nodiscard]] bool is_followed_by(const Settled& other) const
    {
        return meter == other.meter && epoch == other.epoch && sequence.value + 1 == other.sequence.value;
    }
};

struct HeadEnd::Batch {
    struct Origin {
        Meter* meter;
        std::size_t arrival;
        Delivery delivery;
    };
    struct Greeting {
        Meter* meter;
        Hello hello;
    };
    struct Refusal {
        Settled settled;
        RefusalReason reason;
    };
    WallTime now;
    std::vector<IncomingReading> readings;
    std::vector<Origin> origins; // of `readings`, one each
    std::vector<Greeting> greetings;
    std::set<std::pair<const Meter*, Nonce>> greeted; // a Hello that came twice is answered once
    std::vector<Settled> confirmed;
    std::vector<Refusal> refused;
    HeadEndResult result;
};

HeadEnd::HeadEnd(Ledger& ledger, IvSource next_iv) : ledger_(ledger), next_iv_(std::move(next_iv)) {}

HeadEnd::~HeadEnd() = default;

void HeadEnd::add_meter(const MeterId& meter, const crypto::MeterKeys& keys, std::uint32_t max_kw)
{
    ENSURE(max_kw >= 1, "a meter whose largest load is nothing");
    remove_meter(meter);
    meters_.insert_or_assign(
        keys.up_topic, std::make_unique<Meter>(Meter{meter, max_kw, keys.down_topic, crypto::Fernet(keys.up),
                                                     crypto::Fernet(keys.down), 0, std::nullopt}));
}

void HeadEnd::remove_meter(const MeterId& meter)
{
    std::erase_if(meters_, [&meter](const auto& known) { return known.second->id == meter; });
}

HeadEndResult HeadEnd::handle(std::span<const Arrival> arrivals, WallTime now)
{
    Batch batch{.now = now};
    for (std::size_t place = 0; place < arrivals.size(); ++place)
        take_in(arrivals[place], place, batch);
    settle(batch);
    confirm(batch);
    refuse(batch);
    answer_hellos(batch);
    return std::move(batch.result);
}

void HeadEnd::take_in(const Arrival& arrival, std::size_t place, Batch& batch)
{
    const auto found = meters_.find(arrival.topic);
    if (found == meters_.end() || arrival.payload.empty()) // an empty one clears what was retained
        return;
    Meter& meter = *found->second;
    if (arrival.payload.size() != sealed_size)
        return bad_token(meter, batch);
    const auto opened = meter.up.open(arrival.payload);
    if (!opened)
        return bad_token(meter, batch);
    const auto message = decode_up(meter.id, opened->plaintext);
    if (!message)
        return bad_token(meter, batch);

    if (const auto* reading = std::get_if<Reading>(&*message)) {
        const Delivery delivery = arrival.retained ? Delivery::retained : Delivery::live;
        batch.readings.push_back({meter.id, *reading, meter.max_kw, delivery});
        batch.origins.push_back({&meter, place, delivery});
    } else if (const auto* hello = std::get_if<Hello>(&*message); hello != nullptr && !arrival.retained) {
        if (batch.greeted.emplace(&meter, hello->nonce).second)
            batch.greetings.push_back({&meter, *hello});
    }
}

// COMMIT lies inside append(); nothing before it is told to anyone.
void HeadEnd::settle(Batch& batch)
{
    if (batch.readings.empty())
        return;
    const std::vector<Appended> appended = ledger_.append(batch.readings, batch.now);
    ENSURE(appended.size() == batch.readings.size(), "a reading without an outcome");
    for (std::size_t place = 0; place < appended.size(); ++place) {
        const Reading& reading = batch.readings[place].reading;
        const auto [meter, arrival, delivery] = batch.origins[place];
        const Settled settled{meter, reading.epoch, reading.sequence};
        const Outcome& outcome = appended[place].outcome;
        if (std::holds_alternative<Accepted>(outcome)) {
            batch.result.admitted.push_back({meter->id, reading, arrival, Novelty::first_time});
        } else if (std::holds_alternative<Duplicate>(outcome) && delivery == Delivery::retained) {
            batch.result.admitted.push_back({meter->id, reading, arrival, Novelty::known_already});
        }
        if (std::holds_alternative<Accepted>(outcome) || std::holds_alternative<Duplicate>(outcome)) {
            batch.confirmed.push_back(settled);
            if (const auto& event = appended[place].alarm)
                alarm(*meter, event->kind, event->detail, batch);
            continue;
        }
        const auto* rejected = std::get_if<Rejected>(&outcome);
        const RefusalReason reason = rejected != nullptr ? rejected->reason : RefusalReason::conflict;
        batch.refused.push_back({settled, reason});
        if (appended[place].notice == Notice::first_time) {
            const auto kind = rejected != nullptr ? EventKind::refused : EventKind::conflict;
            alarm(*meter, kind,
                  fmt::format("epoch {} reading {} (total {}) refused: {}", reading.epoch.value,
                              reading.sequence.value, reading.total.value, text(reason)),
                  batch);
        }
    }
}

// Every sequence of a range was settled in this batch: no range spans one that the ledger does not hold.
void HeadEnd::confirm(Batch& batch)
{
    auto& settled = batch.confirmed;
    std::sort(settled.begin(), settled.end(), Settled::before);
    settled.erase(std::unique(settled.begin(), settled.end(), Settled::same), settled.end());
    for (auto first = settled.begin(); first != settled.end();) {
        auto last = first;
        while (last + 1 != settled.end() && last->is_followed_by(*(last + 1)))
            ++last;
        send(*first->meter, Confirmation{first->epoch, first->sequence, last->sequence}, batch);
        first = last + 1;
    }
}

void HeadEnd::refuse(Batch& batch)
{
    auto& refused = batch.refused;
    std::stable_sort(refused.begin(), refused.end(),
                     [](const auto& a, const auto& b) { return Settled::before(a.settled, b.settled); });
    const auto end = std::unique(refused.begin(), refused.end(), [](const auto& a, const auto& b) {
        return Settled::same(a.settled, b.settled);
    });
    for (auto each = refused.begin(); each != end; ++each)
        send(*each->settled.meter, Refused{each->settled.epoch, each->settled.sequence, each->reason}, batch);
}

// After the readings of the batch, so that a State knows of them.
void HeadEnd::answer_hellos(Batch& batch)
{
    for (const auto& [meter, hello] : batch.greetings) {
        State state = ledger_.state_for(meter->id, hello.source);
        state.nonce = hello.nonce;
        send(*meter, state, batch);
    }
}

void HeadEnd::send(Meter& meter, const DownMessage& message, Batch& batch)
{
    const Plaintext plaintext = encode(meter.id, message);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(batch.now).time_since_epoch().count();
    batch.result.outgoing.push_back(
        {meter.down_topic, meter.down.seal(plaintext, static_cast<std::uint64_t>(seconds), next_iv_())});
}

void HeadEnd::alarm(const Meter& meter, EventKind kind, std::string text, Batch& batch)
{
    batch.result.alarms.push_back({meter.id, kind, std::move(text)});
}

void HeadEnd::bad_token(Meter& meter, Batch& batch)
{
    ++meter.bad_tokens;
    const bool due = !meter.last_alarm || batch.now < *meter.last_alarm ||
                     batch.now - *meter.last_alarm >= bad_token_alarm_interval;
    if (!due)
        return;
    std::string text =
        fmt::format("{} message(s) under its topic that its key does not open: someone else publishes "
                    "there, or the meter has another key",
                    meter.bad_tokens);
    ledger_.record({batch.now, EventKind::bad_tokens, meter.id, text});
    meter.last_alarm = batch.now;
    meter.bad_tokens = 0;
    alarm(meter, EventKind::bad_tokens, std::move(text), batch);
}

} // namespace pulsemeter
