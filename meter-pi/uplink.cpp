#include "meter-pi/uplink.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

namespace {
constexpr std::chrono::milliseconds first_hello{2'000};
constexpr std::chrono::milliseconds slowest_hello{60'000};
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
    // What was on its way may be lost with the old connection.
    for (auto& [key, reading] : in_flight_) {
        reading.backoff.reset();
        reading.resend_at = now;
    }
    tick(now);
}

void Uplink::disconnected()
{
    connected_ = false;
    ahead_ = {};
    messages_.clear();
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
        settled_some_ = in_flight_.erase(at) > 0;
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
    if (std::erase_if(held_out_, [&](const ReadingKey& at) {
            return at.epoch == confirmation.epoch && at.sequence >= confirmation.first &&
                   at.sequence <= confirmation.last;
        }) > 0) {
        held_at_ = std::min(held_at_, now + held_next);
        settled_some_ = true;
    }
    const auto first = in_flight_.lower_bound({confirmation.epoch, confirmation.first});
    const auto end = in_flight_.upper_bound({confirmation.epoch, confirmation.last});
    settled_some_ |= first != end;
    in_flight_.erase(first, end);
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

void Uplink::send(const Reading& reading, SteadyTime now)
{
    const ReadingKey at = key(reading);
    InFlight flight{reading, now, Backoff(first_resend, slowest_resend, seed_ ^ at.sequence.value)};
    flight.resend_at = now + flight.backoff.next();
    if (connected_ && at != ahead_)
        messages_.push_back({reading, false});
    in_flight_.insert_or_assign(at, flight);
}

void Uplink::stored(const Reading& newest, SteadyTime now)
{
    if (caught_up_ && in_flight_.size() < window) {
        send(newest, now);
        cursor_ = key(newest);
        if (connected_)
            messages_.back().newest = true;
        return;
    }
    // The backlog goes out in order behind the window; the newest is sent past it, so that totals heal at
    // once.
    caught_up_ = false;
    if (connected_ && greeted_) {
        messages_.push_back({newest, true});
        ahead_ = key(newest);
    }
}

void Uplink::offer(std::span<const Reading> rows, SteadyTime now)
{
    const std::size_t asked = room();
    for (const Reading& row : rows) {
        cursor_ = key(row);
        if (!in_flight_.contains(cursor_))
            send(row, now);
    }
    caught_up_ = rows.size() < asked;
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
    for (auto& [at, flight] : in_flight_) {
        if (flight.resend_at <= now) {
            messages_.push_back({flight.reading, false});
            flight.resend_at = now + flight.backoff.next();
        }
    }
}

std::vector<Uplink::Send> Uplink::take_messages()
{
    return std::exchange(messages_, {});
}

std::size_t Uplink::room() const
{
    if (!connected_ || !greeted_ || caught_up_)
        return 0;
    return window - std::min(window, in_flight_.size());
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
