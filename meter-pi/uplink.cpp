#include "meter-pi/uplink.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pulsemeter {

namespace {
constexpr std::chrono::milliseconds first_hello{2'000};
constexpr std::chrono::milliseconds slowest_hello{60'000};

bool holds(const Confirmation& range, const ReadingKey& at)
{
    return range.epoch == at.epoch && range.first <= at.sequence && at.sequence <= range.last;
}
} // namespace

Uplink::Uplink(const Hello& hello, std::uint64_t seed)
    : hello_(hello), seed_(seed), hello_backoff_(first_hello, slowest_hello, seed)
{
}

void Uplink::connected(SteadyTime now)
{
    connected_ = true;
    if (!greeted_) {
        hello_backoff_.reset();
        hello_at_ = now;
    }
    tick(now);
}

// What was on its way may be lost with the connection: it comes from the outbox again, and no faster than the next
// connection allows.
void Uplink::disconnected()
{
    connected_ = false;
    ahead_ = {};
    messages_.clear();
    in_flight_.clear();
    overtaken_ = 0;
    window_ = {};
    cursor_ = {};
    caught_up_ = false;
}

std::optional<State> Uplink::received(const DownMessage& message, SteadyTime now)
{
    settled_some_ = was_answered_ = false;
    if (const auto* state = std::get_if<State>(&message)) {
        if (greeted_ || state->nonce != hello_.nonce) // an old answer, played again
            return std::nullopt;
        greeted_ = true;
        hello_at_ = SteadyTime::max();
        held_at_ = now;
        was_answered_ = true;
        return *state;
    }
    if (const auto* confirmation = std::get_if<Confirmation>(&message))
        confirm(*confirmation, now);
    if (const auto* refusal = std::get_if<Refused>(&message);
        refusal != nullptr && refused_.size() < most_confirmed) {
        const ReadingKey at{refusal->epoch, refusal->sequence};
        const auto flight = in_flight_.find(at);
        settled_some_ = flight != in_flight_.end();
        if (settled_some_)
            answered(flight, std::next(flight));
        was_answered_ = std::find(held_out_.begin(), held_out_.end(), at) != held_out_.end();
        ranges_met_ += settled_some_ ? 1 : 0;
        if (std::find(refused_.begin(), refused_.end(), *refusal) == refused_.end())
            refused_.push_back(*refusal);
    }
    was_answered_ |= settled_some_;
    return std::nullopt;
}

void Uplink::confirm(const Confirmation& confirmation, SteadyTime now)
{
    if (confirmed_.size() >= most_confirmed) // replayed ones, or the disk fails: later once more
        return;
    // An operator's accept shows in one held reading confirmed: the others need not wait for their hour.
    if (std::erase_if(held_out_, [&](const ReadingKey& at) { return holds(confirmation, at); }) > 0) {
        held_at_ = std::min(held_at_, now + held_next);
        settled_some_ = true;
    }
    const auto first = in_flight_.lower_bound({confirmation.epoch, confirmation.first});
    const auto end = in_flight_.upper_bound({confirmation.epoch, confirmation.last});
    settled_some_ |= first != end;
    answered(first, end);
    if (holds(confirmation, ahead_))
        newest_answered_ = std::max(newest_answered_, ahead_sent_as_);
    // Neighbouring ranges become one, so that a month's backlog stays a short list.
    for (auto& known : confirmed_) {
        if (known.epoch == confirmation.epoch && confirmation.first.value <= known.last.value + 1 &&
            known.first.value <= confirmation.last.value + 1) {
            known.first = std::min(known.first, confirmation.first);
            known.last = std::max(known.last, confirmation.last);
            return;
        }
    }
    confirmed_.push_back(confirmation);
    ranges_met_ += settled_some_ ? 1 : 0;
}

// The window grows only where it is what limits; not while a reading may be lost, nor when the bus takes no more.
void Uplink::answered(Flights::iterator first, Flights::iterator end)
{
    while (first != end) {
        newest_answered_ = std::max(newest_answered_, first->second.sent_as);
        overtaken_ -= first->second.overtaken ? 1U : 0U;
        if (first->second.sent_as <= sent_when_full_ && overtaken_ == 0)
            window_.answered();
        first = in_flight_.erase(first);
    }
}

void Uplink::send(const Reading& reading, SteadyTime now)
{
    const ReadingKey at = key(reading);
    InFlight flight{reading, now, Backoff(first_resend, slowest_resend, seed_ ^ at.sequence.value), ++sent_};
    flight.resend_at = now + flight.backoff.next();
    if (at != ahead_)
        messages_.push_back({reading, false});
    in_flight_.insert_or_assign(at, flight);
    note_if_full();
}

void Uplink::note_if_full()
{
    if (in_flight_.size() >= window_.size())
        sent_when_full_ = sent_;
}

// The oldest few will do to find out when somebody is there again; the others come from the outbox then.
void Uplink::keep_oldest()
{
    while (in_flight_.size() > window_.size()) {
        const auto last = std::prev(in_flight_.end());
        overtaken_ -= last->second.overtaken ? 1U : 0U;
        in_flight_.erase(last);
        cursor_ = in_flight_.rbegin()->first;
        caught_up_ = false;
    }
}

void Uplink::send_again(InFlight& flight, SteadyTime now)
{
    if (flight.overtaken) {
        if (flight.sent_as > sent_at_loss_) { // what is lost at once, is one loss
            window_.lost();
            sent_at_loss_ = sent_;
        }
        flight.overtaken = false;
        --overtaken_;
    }
    flight.sent_as = ++sent_;
    messages_.push_back({flight.reading, false});
    flight.resend_at = now + flight.backoff.next();
}

void Uplink::stored(const Reading& newest, SteadyTime now)
{
    if (caught_up_ && in_flight_.size() < window_.size()) {
        send(newest, now);
        cursor_ = key(newest);
        messages_.back().newest = true;
        return;
    }
    // The backlog goes out in order behind the window; the newest is sent past it, so that totals heal at
    // once.
    caught_up_ = false;
    if (connected_ && greeted_) {
        messages_.push_back({newest, true});
        ahead_ = key(newest);
        ahead_sent_as_ = ++sent_;
    }
}

void Uplink::offer(std::span<const Reading> rows, SteadyTime now)
{
    const std::size_t asked = room();
    for (const Reading& row : rows) {
        cursor_ = key(row);
        if (!in_flight_.contains(cursor_) && !is_confirmed(cursor_))
            send(row, now);
    }
    caught_up_ = rows.size() < asked;
}

bool Uplink::is_confirmed(const ReadingKey& at) const
{
    return std::any_of(confirmed_.begin(), confirmed_.end(),
                       [&](const Confirmation& range) { return holds(range, at); });
}

bool Uplink::held_due(SteadyTime now) const
{
    return connected_ && greeted_ && held_at_ <= now;
}

void Uplink::offer_held(std::span<const Reading> rows, SteadyTime now)
{
    held_out_.clear();
    for (const Reading& row : rows) {
        messages_.push_back({row, false});
        held_out_.push_back(key(row));
    }
    const bool more = rows.size() >= held_at_once;
    held_cursor_ = more ? key(rows.back()) : ReadingKey{};
    held_at_ = now + (more ? std::chrono::steady_clock::duration{held_next} : held_resend);
}

void Uplink::postpone_held(SteadyTime now)
{
    held_at_ = std::max(held_at_, now + held_next);
}

void Uplink::tick(SteadyTime now)
{
    if (!connected_)
        return;
    if (!greeted_) {
        if (hello_at_ <= now) {
            messages_.push_back({hello_, false});
            hello_at_ = now + hello_backoff_.next();
        }
        return;
    }
    bool is_unanswered = false;
    for (auto& [at, flight] : in_flight_) {
        if (!flight.overtaken && flight.sent_as < newest_answered_) {
            flight.overtaken = true;
            ++overtaken_;
            flight.resend_at = std::min(flight.resend_at, now + overtaken_resend);
        }
        is_unanswered |= flight.resend_at <= now && !flight.overtaken;
    }
    if (is_unanswered) {
        window_.unanswered();
        keep_oldest();
    }
    for (auto& [at, flight] : in_flight_) {
        if (flight.resend_at <= now)
            send_again(flight, now);
    }
    note_if_full();
}

std::vector<Uplink::Send> Uplink::take_messages()
{
    return std::exchange(messages_, {});
}

std::size_t Uplink::room() const
{
    if (!connected_ || !greeted_ || caught_up_)
        return 0;
    return std::min(page, window_.size() - std::min(window_.size(), in_flight_.size()));
}

SteadyTime Uplink::next_deadline() const
{
    if (!connected_)
        return SteadyTime::max();
    if (!greeted_)
        return hello_at_;
    SteadyTime next = held_at_;
    for (const auto& [at, flight] : in_flight_)
        next = std::min(next, flight.resend_at);
    return next;
}

void Uplink::settled()
{
    confirmed_.clear();
    refused_.clear();
    ranges_met_ = 0;
}

} // namespace pulsemeter
