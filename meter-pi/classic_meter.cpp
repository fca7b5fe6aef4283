#include "meter-pi/classic_meter.hpp"

#include "meter-pi/report.hpp"
#include "shared/crypto/classic_token.hpp"
#include "shared/log.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

namespace {

constexpr std::chrono::minutes complain_every{1};
constexpr std::chrono::seconds worth_waiting{1}; // so that one sync does for both

} // namespace

ClassicMeter::ClassicMeter(const MeterId& id, const crypto::FernetKey& key, const ClassicTopics& topics,
                           std::string clear_command, std::chrono::seconds pause,
                           const StoredRegister& stored, Meter::Parts parts, std::uint64_t seed)
    : id_(id),
      fernet_(key),
      topics_(topics),
      clear_command_(std::move(clear_command)),
      pause_(pause),
      parts_(std::move(parts)),
      register_(stored),
      uplink_(pause, seed),
      saved_(stored)
{
    parts_.bus.require(topics_.down);
    parts_.bus.require(topics_.up); // who can't see the retained reading would write over it
}

SteadyTime ClassicMeter::turn(SteadyTime now)
{
    const SteadyTime bus_deadline = parts_.bus.tick(now);
    take_in_bus_events(now);
    if (retained_is_foreign_ && uplink_.reading_due(now))
        leave_what_is_foreign(now);
    const bool reading_due = uplink_.reading_due(now);
    if (reading_due)
        register_.go_on_from(uplink_.heard());
    if (now >= save_due() || (reading_due && !may_be_sent()))
        save(Saving::one_of_many, now);
    if (reading_due)
        send_reading(now);
    if (silence_.is_to_be_told(now))
        log::warning("{}; the total is kept and sent again", silence_text(topics_.up));
    return std::min({save_due(), bus_deadline, uplink_.next_deadline()});
}

void ClassicMeter::finish(SteadyTime now)
{
    save(Saving::last, now);
    if (uplink_.confirmed_once() && !retained_is_foreign_)
        send_reading(now);
}

void ClassicMeter::take_in_bus_events(SteadyTime now)
{
    for (const BusEvent& event : parts_.bus.take()) {
        if (std::holds_alternative<Connected>(event)) {
            log::info("connected to the broker");
            connected_ = true;
            uplink_.connected(now);
            if (std::exchange(was_foreign_, false)) // what is there by now may come a moment after this
                uplink_.postpone(now);
        } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
            if (connected_)
                last_complaint_.clear();
            complain(loss->reason + "; the total is kept and sent later", now);
            connected_ = false;
            // By the next connection it may be another message, or none: that one tells, and may do so before it is
            // called connected.
            was_foreign_ = was_foreign_ || std::exchange(retained_is_foreign_, false);
            uplink_.disconnected();
            silence_.ended();
        } else if (const auto* denied = std::get_if<PublishDenied>(&event)) {
            log::warning("{}", denied->reason);
        } else if (const auto* received = std::get_if<Received>(&event)) {
            take_in(*received, now);
        }
    }
}

void ClassicMeter::take_in(const Received& received, SteadyTime now)
{
    if (received.topic == topics_.down && !received.payload.empty())
        take_in_answer(received, now);
    if (received.topic == topics_.up)
        take_in_up(received, now);
}

// Of what comes on the up topic only what the broker kept is news; the rest is our own. But while nothing is sent since
// we can't read what is kept, it is someone's who puts that right: with a total, or, empty, by clearing it.
void ClassicMeter::take_in_up(const Received& received, SteadyTime now)
{
    if (received.payload.empty())
        retained_is_foreign_ = false;
    if (received.payload.empty() || (!received.retained && !retained_is_foreign_))
        return;
    const auto total = opened(received, now);
    if (total && retained_is_foreign_)
        uplink_.put_right(*total);
    else if (total)
        uplink_.retained(*total);
    retained_is_foreign_ = !total;
}

void ClassicMeter::take_in_answer(const Received& received, SteadyTime now)
{
    const auto total = opened(received, now);
    if (!total)
        return;
    switch (uplink_.answered(*total, now)) {
    case ClassicUplink::Answer::confirmed:
        silence_.ended();
        confirmation_token_ = received.payload;
        report::confirmed(*total);
        break;
    case ClassicUplink::Answer::raised:
        log::warning("the server's total is {}, more than ours: going on from there", total->value);
        break;
    case ClassicUplink::Answer::beyond:
        complain(
            fmt::format(
                "the server confirms {} on {}, which was never sent: does another meter use these topics? "
                "Ignored",
                total->value, topics_.down),
            now);
        break;
    case ClassicUplink::Answer::noted:
    case ClassicUplink::Answer::stale:
        break;
    }
}

std::optional<Pulses> ClassicMeter::opened(const Received& received, SteadyTime now)
{
    const auto token = received.payload.size() <= longest_payload
                           ? fernet_.open(received.payload)
                           : tl::unexpected(crypto::FernetError::invalid);
    if (!token) {
        complain(
            fmt::format("a message on {} does not open with this meter's key: refused; has the other program "
                        "another key?",
                        received.topic),
            now);
        return std::nullopt;
    }
    const auto total = decode_total(token->plaintext);
    if (!total) {
        complain(fmt::format("a message on {} holds no total but {}: refused", received.topic,
                             text(total.error())),
                 now);
        return std::nullopt;
    }
    if (*total > ClassicRegister::most_believed) {
        complain(
            fmt::format(
                "a message on {} holds the total {}, which is more than half of what a total can be, so that "
                "counting on from there might not fit: refused",
                received.topic, total->value),
            now);
        return std::nullopt;
    }
    return *total;
}

void ClassicMeter::leave_what_is_foreign(SteadyTime now)
{
    complain(fmt::format(
                 "the broker keeps a message on {} that this meter can't read; nothing is sent, since that "
                 "would write over it: give this meter the Python programs' key, or clear it with `{}`",
                 topics_.up, clear_command_),
             now);
    uplink_.postpone(now);
}

// Together with the reading, if one is about to be made.
SteadyTime ClassicMeter::save_due() const
{
    const SteadyTime reading = uplink_.next_deadline();
    return reading >= next_save_ && reading - next_save_ <= worth_waiting ? reading : next_save_;
}

bool ClassicMeter::may_be_sent() const
{
    return saved_.epoch.value != 0 && saved_.total == saved_.numbered && saved_.total >= uplink_.heard();
}

void ClassicMeter::send_reading(SteadyTime now)
{
    if (!may_be_sent()) { // the disk did not take it
        uplink_.postpone(now);
        return;
    }
    report::stored(id_, {.sequence = saved_.last,
                         .total = saved_.total,
                         .constant = saved_.constant,
                         .start = saved_.start,
                         .source = saved_.source,
                         .power = power_});
    // What is not taken now is made again: what it held is in the next total.
    (void)parts_.bus.publish(
        topics_.up,
        crypto::seal_total(fernet_, saved_.total, parts_.facts().measured_at, crypto::random_iv()),
        Retain::yes);
    register_.sent();
    uplink_.sent(saved_.total, now);
    silence_.sent(now);
}

void ClassicMeter::save(Saving saving, SteadyTime now)
{
    const Tally tally = parts_.tally();
    register_.count(tally.pulses, tally.quality);
    power_ = tally.power;
    condition_ = tally.sensor_trouble.empty() ? "sensor ok" : "sensor missing: " + tally.sensor_trouble;
    condition_ += connected_ ? "; connected; classic wire" : "; not connected; classic wire";
    next_save_ = now + pause_;
    const StoredRegister next = register_.to_save();
    const bool last_chance = confirmation_token_ && saving == Saving::last; // else it waits for a new total
    if (next == saved_ && !last_chance)
        return;
    try {
        (void)parts_.store.commit({.register_now = next,
                                   .reading = std::nullopt,
                                   .confirmation_token = confirmation_token_,
                                   .condition = condition_});
    } catch (const StoreError& failure) {
        complain(fmt::format("{}; counting goes on, no newer total is sent until the disk takes it",
                             failure.what()),
                 now);
        next_save_ = now + ClassicUplink::disk_retry;
        return;
    }
    register_.taken(next);
    saved_ = next;
    confirmation_token_.reset();
}

void ClassicMeter::complain(const std::string& what, SteadyTime now)
{
    if (what == last_complaint_ && complained_at_ && now - *complained_at_ < complain_every)
        return;
    log::warning("{}", what);
    last_complaint_ = what;
    complained_at_ = now;
}

} // namespace pulsemeter
