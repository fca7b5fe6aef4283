#include "server/classic_head_end.hpp"

#include "shared/crypto/classic_token.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <deque>

namespace pulsemeter {

struct ClassicHeadEnd::Meter {
    struct Limit {
        std::uint64_t untold = 0;
        std::optional<WallTime> told_at;
    };
    MeterId id;
    std::string down_topic;
    crypto::Fernet fernet;
    SteadyTime repeat_at = SteadyTime::max();  // unless something is accepted before
    SteadyTime confirm_at = SteadyTime::max(); // `to_confirm`
    std::optional<SteadyTime> said_at{};       // the last total
    std::optional<SteadyTime> confirmed_at{};  // … that was a confirmation
    std::optional<SteadyTime> accepted_at{};
    SteadyTime::duration pause{};                    // the meter's, after a confirmation; learned
    SteadyTime::duration last_pause{};               // as it seemed the last time
    SteadyTime::duration earliest = earliest_answer; // after a confirmation; learned
    bool withheld = false;                           // `to_confirm`, until silence
    std::optional<SteadyTime::duration>
        answered_in{};     // what is withheld came so long after something was said
    unsigned unproven = 0; // confirmations since a silence
    Pulses to_confirm{};
    // Tokens that were taken in. Each is sealed with an IV of its own, so an equal one is the same message again.
    std::deque<std::string> seen{};
    std::array<Limit, 3> limits{}; // by Trouble

    // A meter that pauses for long has not fallen silent.
    [[nodiscard]] SteadyTime::duration patience() const
    {
        return std::max<SteadyTime::duration>(repeat_every, pause + silence);
    }
    void wait_for_the_retained(SteadyTime now)
    {
        repeat_at = now + retained_wait;
        if (accepted_at)
            repeat_at = std::max(repeat_at, *accepted_at + patience());
    }
    void accepted(const Arrival& arrival, SteadyTime now)
    {
        if (confirmed_at && !arrival.retained) {
            const auto seeming = now - *confirmed_at;
            pause = seeming <= longest_pause ? seeming : std::min(seeming, last_pause);
            last_pause = seeming;
        }
        accepted_at = now;
        repeat_at = now + patience();
        seen.emplace_back(arrival.payload);
        if (seen.size() > tokens_remembered)
            seen.pop_front();
    }
    void confirm_after_silence(Pulses total, SteadyTime now)
    {
        to_confirm = total;
        withheld = true;
        confirm_at = now + silence;
    }
    void confirm(Pulses total, SteadyTime now)
    {
        if (withheld)
            return confirm_after_silence(total, now);
        const auto gap = said_at ? now - *said_at : earliest;
        if (gap >= silence) // which proves the same
            unproven = 0;
        if (gap < earliest || ++unproven >= proof_every) {
            answered_in = gap;
            return confirm_after_silence(total, now);
        }
        earliest = std::max(earliest, std::min(gap / 4, SteadyTime::duration(earliest_answer)));
        to_confirm = total;
        confirm_at = now;
    }
    void said(SteadyTime now)
    {
        const bool confirms = confirm_at != SteadyTime::max();
        if (confirms && withheld) { // and nothing came since: there is one loop …
            if (answered_in)        // … and this is how soon it answers
                earliest = std::clamp<SteadyTime::duration>(*answered_in / 2, hasty_answer, earliest_answer);
            unproven = 0;
        }
        if (confirms)
            confirmed_at = now;
        repeat_at = now + (confirms ? patience() : repeat_every);
        if (!confirms) // the meter may be about to send all the same, and now answers twice
            unproven = proof_every - 1;
        withheld = false;
        answered_in.reset();
        confirm_at = SteadyTime::max();
        said_at = now;
    }
};

ClassicHeadEnd::ClassicHeadEnd(Ledger& ledger, HeadEnd::IvSource next_iv)
    : ledger_(ledger), next_iv_(std::move(next_iv))
{
}

ClassicHeadEnd::~ClassicHeadEnd() = default;

void ClassicHeadEnd::add_meter(const MeterId& meter, const ClassicChannel& channel, SteadyTime now)
{
    remove_meter(meter);
    auto added = std::make_unique<Meter>(Meter{meter, channel.topics.down, crypto::Fernet(channel.key)});
    if (connected_)
        added->wait_for_the_retained(now);
    meters_.insert_or_assign(channel.topics.up, std::move(added));
}

void ClassicHeadEnd::remove_meter(const MeterId& meter)
{
    std::erase_if(meters_, [&meter](const auto& known) { return known.second->id == meter; });
}

void ClassicHeadEnd::connected(SteadyTime now)
{
    connected_ = true;
    for (auto& [topic, meter] : meters_)
        meter->wait_for_the_retained(now);
}

void ClassicHeadEnd::disconnected()
{
    connected_ = false;
    for (auto& [topic, meter] : meters_) {
        meter->confirm_at = meter->repeat_at = SteadyTime::max(); // what is withheld stays to be proved
    }
}

HeadEndResult ClassicHeadEnd::handle(std::span<const Arrival> arrivals, SteadyTime now, WallTime wall)
{
    HeadEndResult result;
    for (std::size_t place = 0; place < arrivals.size(); ++place) {
        const auto found = meters_.find(arrivals[place].topic);
        if (found != meters_.end() &&
            !arrivals[place].payload.empty()) // an empty one clears what was retained
            take_in(*found->second, arrivals[place], place, now, wall, result);
    }
    if (!connected_) // what is said now would be lost
        return result;
    for (auto& [topic, meter] : meters_) {
        if (meter->confirm_at <= now) {
            say(*meter, meter->to_confirm, now, wall, result);
        } else if (meter->repeat_at <= now && meter->confirm_at == SteadyTime::max()) {
            say(*meter, ledger_.total_of(meter->id), now, wall, result);
        }
    }
    return result;
}

void ClassicHeadEnd::take_in(Meter& meter, const Arrival& arrival, std::size_t place, SteadyTime now,
                             WallTime wall, HeadEndResult& result)
{
    if (std::find(meter.seen.begin(), meter.seen.end(), arrival.payload) != meter.seen.end())
        return;
    const auto opened = arrival.payload.size() <= longest_payload
                            ? meter.fernet.open(arrival.payload)
                            : tl::unexpected(crypto::FernetError::invalid);
    if (!opened) {
        return trouble(meter, Trouble::wrong_key,
                       "under its topic that its key does not open: someone else publishes there, or the "
                       "other program has another key",
                       wall, result);
    }
    const auto total = decode_total(opened->plaintext);
    if (!total) {
        return trouble(meter, Trouble::no_total,
                       fmt::format("refused that hold(s) no total but {}; what is wanted is 0 to 2^63-1 in "
                                   "plain digits",
                                   text(total.error())),
                       wall, result);
    }

    const Delivery delivery = arrival.retained ? Delivery::retained : Delivery::live;
    const ClassicAppended appended =
        ledger_.append_total(meter.id, *total, wall, delivery); // COMMIT lies in here
    if (appended.outcome == ClassicOutcome::fell) {
        return trouble(
            meter, Trouble::fell,
            fmt::format("refused: the total {} is below the stored {}; an old message, or a meter "
                        "that lost its total: then stop it, put the total back with `meter-server meter "
                        "restore-total {}`, and start it again",
                        total->value, appended.newest.total.value, meter.id.text()),
            wall, result);
    }
    meter.accepted(arrival, now);
    if (appended.outcome == ClassicOutcome::accepted)
        result.admitted.push_back({meter.id, appended.newest, place});
    if (!arrival.retained) {
        meter.confirm(*total, now);
    } else if (appended.outcome == ClassicOutcome::accepted) {
        meter.confirm_after_silence(*total, now);
    }
}

void ClassicHeadEnd::say(Meter& meter, Pulses total, SteadyTime now, WallTime wall, HeadEndResult& result)
{
    result.outgoing.push_back({meter.down_topic, crypto::seal_total(meter.fernet, total, wall, next_iv_())});
    meter.said(now);
}

void ClassicHeadEnd::trouble(Meter& meter, Trouble kind, std::string what, WallTime wall,
                             HeadEndResult& result)
{
    Meter::Limit& limit = meter.limits.at(static_cast<std::size_t>(kind));
    ++limit.untold;
    if (limit.told_at && wall >= *limit.told_at && wall - *limit.told_at < alarm_interval)
        return;
    const std::string line = fmt::format("{} message(s) {}", limit.untold, what);
    const EventKind event = kind == Trouble::wrong_key ? EventKind::bad_tokens : EventKind::refused;
    ledger_.record({wall, event, meter.id, line});
    limit = {0, wall};
    result.alarms.push_back({meter.id, event, line});
}

ClassicHeadEnd::SteadyTime ClassicHeadEnd::next_deadline() const
{
    SteadyTime next = SteadyTime::max();
    if (!connected_)
        return next;
    for (const auto& [topic, meter] : meters_)
        next = std::min({next, meter->confirm_at, meter->repeat_at});
    return next;
}

} // namespace pulsemeter
