#include "meter-pi/classic_meter.hpp"

#include "meter-pi/report.hpp"
#include "shared/log.hpp"

#include <algorithm>
#include <utility>

namespace pulsemeter {

namespace {

constexpr std::chrono::minutes complain_every{1};

std::string seal(crypto::Fernet& fernet, Pulses total, WallTime now)
{
    const std::string digits = encode_total(total);
    const std::vector<std::uint8_t> plaintext(digits.begin(), digits.end());
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    return fernet.seal(plaintext, static_cast<std::uint64_t>(seconds), crypto::random_iv());
}

} // namespace

ClassicMeter::ClassicMeter(const MeterId& id, const crypto::FernetKey& key, const ClassicTopics& topics,
                           std::chrono::seconds pause, const StoredRegister& stored, Meter::Parts parts,
                           std::uint64_t seed)
    : id_(id),
      fernet_(key),
      topics_(topics),
      pause_(pause),
      parts_(std::move(parts)),
      register_(stored),
      uplink_(pause, seed),
      saved_(stored)
{
    parts_.bus.subscribe(topics_.down);
    parts_.bus.subscribe(topics_.up); // for the retained reading alone
}

SteadyTime ClassicMeter::turn(SteadyTime now)
{
    now_ = now;
    if (!next_save_)
        next_save_ = now + pause_;
    const SteadyTime bus_deadline = parts_.bus.tick(now);
    take_in_bus_events();
    if (uplink_.reading_due(now)) {
        make_reading();
        next_save_ = now + pause_;
    } else if (now >= *next_save_) {
        (void)save(Saving::total);
        next_save_ = now + pause_;
    }
    return std::min({*next_save_, bus_deadline, uplink_.next_deadline()});
}

void ClassicMeter::finish(SteadyTime now)
{
    now_ = now;
    if (uplink_.confirmed_once())
        make_reading();
    (void)save(Saving::last_total);
}

void ClassicMeter::take_in_bus_events()
{
    for (const BusEvent& event : parts_.bus.take()) {
        if (std::holds_alternative<Connected>(event)) {
            log::info("connected to the broker");
            connected_ = true;
            uplink_.connected(now_);
        } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
            if (connected_)
                last_complaint_.clear();
            complain(loss->reason + "; the total is kept and sent later");
            connected_ = false;
            uplink_.disconnected();
        } else if (const auto* denied = std::get_if<PublishDenied>(&event)) {
            log::warning("{}", denied->reason);
        } else {
            take_in(std::get<Received>(event));
        }
    }
}

void ClassicMeter::take_in(const Received& received)
{
    if (received.topic == topics_.down && !received.payload.empty())
        take_in_answer(received);
    if (received.topic == topics_.up)
        take_in_retained(received);
}

// Of what comes on the up topic only what the broker kept is news; the rest is our own. An empty payload clears it.
void ClassicMeter::take_in_retained(const Received& received)
{
    if (received.payload.empty())
        retained_is_foreign_ = false;
    if (!received.retained || received.payload.empty())
        return;
    const auto total = opened(received);
    retained_is_foreign_ = !total;
    if (total)
        uplink_.retained(*total);
}

void ClassicMeter::take_in_answer(const Received& received)
{
    const auto total = opened(received);
    if (!total)
        return;
    switch (uplink_.answered(*total, now_)) {
    case ClassicUplink::Answer::confirmed:
        confirmation_token_ = received.payload;
        report::confirmed(*total);
        break;
    case ClassicUplink::Answer::raised:
        log::warning("the server's total is {}, more than ours: going on from there", total->value);
        break;
    case ClassicUplink::Answer::beyond:
        complain(fmt::format(
            "the server confirms {} on {}, which was never sent: does another meter use these topics? "
            "Ignored",
            total->value, topics_.down));
        break;
    case ClassicUplink::Answer::noted:
    case ClassicUplink::Answer::stale:
        break;
    }
}

std::optional<Pulses> ClassicMeter::opened(const Received& received)
{
    const auto token = received.payload.size() <= longest_payload
                           ? fernet_.open(received.payload)
                           : tl::unexpected(crypto::FernetError::invalid);
    if (!token) {
        complain(
            fmt::format("a message on {} does not open with this meter's key: refused; has the other program "
                        "another key?",
                        received.topic));
        return std::nullopt;
    }
    const auto total = decode_total(token->plaintext);
    if (!total || *total > ClassicRegister::most_believed) {
        complain(
            fmt::format("a message on {} holds no total but {}: refused", received.topic,
                        total ? std::string_view("a number too large to go on from") : text(total.error())));
        return std::nullopt;
    }
    return *total;
}

void ClassicMeter::make_reading()
{
    if (retained_is_foreign_) {
        complain(fmt::format(
            "the broker keeps a message on {} that this meter can't read; nothing is sent, since that "
            "would write over it: give this meter the Python programs' key, or clear it with "
            "`mosquitto_pub -t {} -r -n`",
            topics_.up, topics_.up));
        uplink_.postpone(now_);
        (void)save(Saving::total);
        return;
    }
    register_.go_on_from(uplink_.heard());
    if (!save(Saving::reading)) {
        uplink_.postpone(now_);
        return;
    }
    const StoredRegister& now = register_.now();
    report::stored(id_, {.sequence = now.last,
                         .total = now.total,
                         .constant = now.constant,
                         .start = now.start,
                         .source = now.source,
                         .power = power_});
    // What is not taken now is made again: what it held is in the next total.
    (void)parts_.bus.publish(topics_.up, seal(fernet_, now.total, parts_.facts().measured_at), Retain::yes);
    uplink_.sent(now.total, now_);
}

// True when it is on disk.
bool ClassicMeter::save(Saving saving)
{
    const Tally tally = parts_.tally();
    register_.count(tally.pulses, tally.quality);
    power_ = tally.power;
    const StoredRegister next = saving == Saving::reading ? register_.with_next_reading() : register_.now();
    const bool last_chance =
        confirmation_token_ && saving == Saving::last_total; // else it waits for a new total
    condition_ = tally.sensor_trouble.empty() ? "sensor ok" : "sensor missing: " + tally.sensor_trouble;
    condition_ += connected_ ? "; connected; classic wire" : "; not connected; classic wire";
    if (next == saved_ && !last_chance)
        return true;
    try {
        (void)parts_.store.commit({.register_now = next,
                                   .reading = std::nullopt,
                                   .confirmation_token = confirmation_token_,
                                   .condition = condition_});
    } catch (const StoreError& failure) {
        complain(
            fmt::format("{}; counting goes on, nothing is sent until the disk takes it", failure.what()));
        return false;
    }
    register_.taken(next);
    saved_ = next;
    confirmation_token_.reset();
    return true;
}

void ClassicMeter::complain(const std::string& what)
{
    if (what == last_complaint_ && complained_at_ && now_ - *complained_at_ < complain_every)
        return;
    log::warning("{}", what);
    last_complaint_ = what;
    complained_at_ = now_;
}

} // namespace pulsemeter
