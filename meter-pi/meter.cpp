#include "meter-pi/meter.hpp"

#include "meter-pi/kilowatt_hours.hpp"
#include "meter-pi/report.hpp"
#include "shared/log.hpp"
#include "shared/protocol.hpp"
#include "shared/reading_codec.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

namespace {

constexpr std::chrono::hours contest_shown{1};
constexpr std::chrono::seconds clock_step{2}; // more than an NTP daemon slews between two readings
constexpr std::chrono::minutes complain_every{1};

std::uint32_t bit(MeterEvent event)
{
    return static_cast<std::uint32_t>(event);
}

// Whether it is time to say it again; then it counts as said.
bool is_due(std::optional<SteadyTime>& told, SteadyTime now)
{
    if (told && now - *told < complain_every)
        return false;
    told = now;
    return true;
}

std::uint64_t unix_seconds(WallTime time)
{
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

} // namespace

Meter::Meter(const MeterId& id, const crypto::MeterKeys& keys, std::chrono::seconds interval,
             const StoredRegister& stored, Parts parts, const Nonce& nonce, std::uint64_t seed)
    : id_(id),
      keys_(keys),
      seal_(keys.up),
      open_(keys.down),
      interval_(interval),
      parts_(std::move(parts)),
      register_(stored, parts_.store.highest_epoch()),
      uplink_(register_.hello(nonce, parts_.facts().boot), seed),
      saved_(stored),
      events_(bit(MeterEvent::started))
{
    parts_.bus.require(keys_.down_topic);
}

SteadyTime Meter::turn(SteadyTime now)
{
    if (!next_reading_)
        next_reading_ = now + interval_;
    const SteadyTime bus_deadline = parts_.bus.tick(now);
    take_in_bus_events(now);
    if (now >= *next_reading_) {
        take_reading(now);
        next_reading_ = std::max(*next_reading_ + interval_, now);
    }
    // An epoch comes to the disk with its first reading; a disk that fails is asked once an interval.
    if (uplink_.wants_commit() && !register_.at_epoch_start() && disk_trouble_.empty())
        forget_confirmed(now);
    uplink_.tick(now);
    send_messages(now);
    feed_uplink(now);
    if (silence_.is_to_be_told(now))
        log::warning("{}; readings are kept and sent again", silence_text(keys_.up_topic));
    return std::min({*next_reading_, bus_deadline, uplink_.next_deadline()});
}

void Meter::finish(SteadyTime now)
{
    take_reading(now);
    send_messages(now);
}

void Meter::take_in_bus_events(SteadyTime now)
{
    for (const BusEvent& event : parts_.bus.take()) {
        if (std::holds_alternative<Connected>(event)) {
            log::info("connected to the broker");
            connected_ = true;
            uplink_.connected(now);
        } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
            if (std::exchange(connected_, false))
                told_of_broker_.reset();
            if (loss->loss == Loss::client_id_contested) {
                events_ |= bit(MeterEvent::client_id_contested);
                contested_until_ = now + contest_shown;
                told_of_broker_.reset();
            }
            if (is_due(told_of_broker_, now))
                log::warning("{}; readings are kept and sent later", loss->reason);
            uplink_.disconnected();
            unsent_.clear();
            silence_.ended();
        } else if (const auto* denied = std::get_if<PublishDenied>(&event)) {
            log::warning("{}", denied->reason);
        } else if (const auto* received = std::get_if<Received>(&event)) {
            take_in_token(*received, now);
        }
    }
}

void Meter::take_in_token(const Received& received, SteadyTime now)
{
    if (received.payload.size() != sealed_size)
        return;
    const auto opened = open_.open(received.payload);
    if (!opened) {
        log::debug("a message on our topic that does not open with our key: ignored");
        return;
    }
    const auto message = decode_down(id_, opened->plaintext);
    if (!message) {
        log::warning("a sealed message is not for this meter: {}", text(message.error()));
        return;
    }
    const auto state = uplink_.received(*message, now);
    if (uplink_.was_answered())
        silence_.ended();
    const auto* confirmation = std::get_if<Confirmation>(&*message);
    const auto* refusal = std::get_if<Refused>(&*message);
    if (confirmation != nullptr && uplink_.settled_some()) {
        confirmation_token_ = received.payload;
        report::confirmed(*confirmation);
    }
    if (refusal != nullptr && uplink_.settled_some()) {
        log::warning(
            "the server refused reading {} of epoch {}: {}; it is held: see `meter-server held list`",
            refusal->sequence.value, refusal->epoch.value, text(refusal->reason));
    }
    if (state)
        take_greeting(*state, now);
}

void Meter::take_greeting(const State& state, SteadyTime now)
{
    switch (register_.greet(state)) {
    case Greeting::continued:
        log::info("the server knows this meter up to reading {} of epoch {}", state.sequence.value,
                  state.epoch.value);
        break;
    case Greeting::first_epoch:
        log::info("the server greets a new {} register", text(register_.stored().source));
        if (state.highest_epoch.value != 0 && register_.stored().source == Source::measured)
            events_ |= bit(MeterEvent::became_measured);
        break;
    case Greeting::recovered:
        log::warning("no register here: going on from the server's total of {} pulses in a new epoch",
                     state.total.value);
        events_ |= bit(MeterEvent::register_recovered);
        break;
    case Greeting::server_was_ahead:
        log::warning(
            "the server is ahead of this register (an old disk image, or a clone beside it?): going on from "
            "{} pulses in a new epoch",
            register_.stored().total.value);
        events_ |= bit(MeterEvent::server_was_ahead);
        break;
    }
    feed_uplink(now); // the backlog first, so that the newest is not sent twice
    take_reading(now);
}

ReadingFacts Meter::facts(const Tally& tally, ReadingFacts facts)
{
    const auto offset = facts.measured_at.time_since_epoch() - facts.uptime;
    if (clock_offset_ && std::chrono::abs(offset - *clock_offset_) > clock_step)
        events_ |= bit(MeterEvent::clock_stepped);
    clock_offset_ = offset;
    if (!tally.sensor_trouble.empty())
        events_ |= bit(MeterEvent::sensor_missing);
    facts.events = events_;
    facts.power = tally.power;
    return facts;
}

void Meter::take_reading(SteadyTime now)
{
    const Tally tally = parts_.tally();
    const ReadingFacts at = parts_.facts(); // once: a commit may take long, and a total belongs to its time
    register_.count(tally.pulses, tally.quality);
    condition_ = condition_of(tally, now);
    try {
        if (!register_.greeted()) {
            save_total();
            return;
        }
        if (register_.stored().renewal)
            renew_register(tally, at, now);
        const bool starts_epoch = register_.at_epoch_start();
        commit_reading(facts(tally, at), now);
        if (starts_epoch && register_.stored().total > register_.stored().numbered)
            commit_reading(facts(tally, at), now); // what was counted before the greeting
    } catch (const StoreError& failure) {
        trouble(failure.what(), now);
    }
}

// What was counted before `register set` is said in the old epoch first.
void Meter::renew_register(const Tally& tally, const ReadingFacts& at, SteadyTime now)
{
    while (!register_.renewal_due())
        commit_reading(facts(tally, at), now);
    events_ |= register_.stored().renewal->events;
    register_.renew();
    const StoredRegister& begun = register_.stored();
    log::info("the register was set: epoch {} begins at {} kWh and {} imp/kWh", begun.epoch.value,
              kilowatt_hours_text(begun.start), begun.constant.imp_per_kwh);
}

StoreChange Meter::change(const StoredRegister& stored) const
{
    return {.register_now = stored,
            .reading = std::nullopt,
            .confirmed = uplink_.confirmed(),
            .refused = uplink_.refused(),
            .confirmation_token = confirmation_token_,
            .condition = condition_};
}

void Meter::commit_reading(const ReadingFacts& facts, SteadyTime now)
{
    const Reading reading = register_.draft(facts);
    StoreChange with_reading = change(register_.stored_with(reading));
    with_reading.reading = reading;
    const std::size_t thinned = parts_.store.commit(with_reading);
    register_.taken(reading);
    events_ = 0;
    settle(thinned);
    report::stored(id_, reading);
    uplink_.stored(reading, now);
}

// Before the greeting nothing is numbered, but the total is kept.
void Meter::save_total()
{
    const StoredRegister now = register_.stored();
    const bool counted = now != saved_;
    if (!counted && uplink_.confirmed().empty() && condition_ == saved_condition_)
        return;
    settle(parts_.store.commit(change(now)));
    if (counted)
        report::waiting(id_, now);
}

void Meter::forget_confirmed(SteadyTime now)
{
    try {
        settle(parts_.store.commit(change(register_.stored())));
    } catch (const StoreError& failure) {
        trouble(failure.what(), now);
    }
}

void Meter::settle(std::size_t thinned)
{
    saved_ = register_.stored();
    saved_condition_ = condition_;
    uplink_.settled();
    confirmation_token_.reset();
    if (thinned > 0) {
        log::warning("the outbox is full: {} old intermediate readings were dropped; totals are not affected",
                     thinned);
        events_ |= bit(MeterEvent::outbox_thinned);
    }
    if (!disk_trouble_.empty()) {
        log::info("the disk takes readings again");
        disk_trouble_.clear();
    }
}

void Meter::trouble(const std::string& what, SteadyTime now)
{
    events_ |= bit(MeterEvent::disk_trouble);
    if (what != disk_trouble_)
        told_of_disk_.reset();
    if (is_due(told_of_disk_, now))
        log::error("{}; counting goes on, nothing is numbered or sent until the disk takes it", what);
    disk_trouble_ = what;
}

// No more than the bus takes, so that what is on its way, and not what waits here, is waited for.
void Meter::feed_uplink(SteadyTime now)
{
    try {
        while (unsent_.empty() && uplink_.room() > 0) {
            const auto rows = parts_.store.outbox(uplink_.after(), uplink_.room());
            uplink_.offer(rows, now);
            send_messages(now);
            if (rows.empty())
                break;
        }
        if (uplink_.held_due(now)) {
            uplink_.offer_held(parts_.store.held(uplink_.held_after(), Uplink::held_at_once), now);
            send_messages(now);
        }
    } catch (const StoreError& failure) {
        uplink_.postpone_held(now);
        trouble(failure.what(), now);
    }
}

void Meter::send_messages(SteadyTime now)
{
    for (Uplink::Send& send : uplink_.take_messages())
        unsent_.push_back(std::move(send));
    if (unsent_.empty())
        return;
    const std::uint64_t sealed_at = unix_seconds(parts_.facts().measured_at);
    while (!unsent_.empty()) {
        const Uplink::Send& send = unsent_.front();
        const auto plain =
            std::visit([&](const auto& message) { return encode(id_, UpMessage{message}); }, send.message);
        const auto token = seal_.seal(plain, sealed_at, crypto::random_iv());
        if (!parts_.bus.publish(keys_.up_topic, token, send.newest ? Retain::yes : Retain::no))
            break; // the bus wakes us when there is room again
        unsent_.pop_front();
        silence_.sent(now);
    }
    while (unsent_.size() > most.unsent) {
        unsent_
            .pop_front(); // what is lost here is sent again: readings until confirmed, a Hello until answered
    }
}

std::string Meter::condition_of(const Tally& tally, SteadyTime now) const
{
    std::string words =
        tally.sensor_trouble.empty() ? "sensor ok" : "sensor missing: " + tally.sensor_trouble;
    words += connected_ ? "; connected" : "; not connected";
    words += register_.greeted() ? "" : "; waiting for the server's greeting";
    words += now < contested_until_ ? "; another program may use this meter's client id" : "";
    return words;
}

} // namespace pulsemeter
