#include "server/server.hpp"

#include "server/register_change.hpp"
#include "shared/log.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

namespace pulsemeter {
namespace {

using namespace std::chrono_literals;

constexpr auto trouble_told_every = 1min;
constexpr auto contest_recorded_every = 24h;
// That an answer waits: under load windows are full and empty again much sooner.
constexpr auto busy_after = 250ms;
constexpr auto gathered_at_most = 10s;
constexpr auto busy_bus_tried_every = 10ms;

const std::string& up_topic(const ServedMeter& meter)
{
    if (const auto* channel = std::get_if<ClassicChannel>(&meter.wire))
        return channel->topics.up;
    return std::get<crypto::MeterKeys>(meter.wire).up_topic;
}

void join(HeadEndResult& result, HeadEndResult more)
{
    const auto append = [](auto& to, auto& from) {
        to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    };
    append(result.outgoing, more.outgoing);
    append(result.alarms, more.alarms);
    append(result.admitted, more.admitted);
    std::stable_sort(result.admitted.begin(), result.admitted.end(),
                     [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
}

} // namespace

Server::Server(Parts parts, std::string broker, std::uint64_t seed)
    : parts_(std::move(parts)),
      broker_(std::move(broker)),
      head_end_(parts_.ledger),
      classic_(parts_.ledger),
      ledger_backoff_(1s, 30s, seed)
{
}

Server::SteadyTime Server::turn(SteadyTime now, WallTime wall)
{
    if (now >= meters_due_)
        look_for_meters(now);
    SteadyTime due = std::min(parts_.bus.tick(now), meters_due_);
    take_events(now, wall);
    const auto work_is_due = [this] {
        return waiting_.empty() ? classic_.next_deadline() : SteadyTime::min();
    };
    publish();
    // While the bus is busy, what arrives gathers for a while: the next confirmations are of more readings each. One a
    // reading would fall behind for ever where the broker takes fewer of them than readings come.
    if (waiting_.empty())
        gathered_from_ = now;
    const bool busy = !outgoing_.empty() && now - outgoing_.front().since >= busy_after;
    const bool gathers =
        busy && now - gathered_from_ < gathered_at_most && waiting_.size() < parts_.most.waiting / 2;
    if (!gathers && now >= std::max(work_is_due(), ledger_due_))
        handle_waiting(now, wall);
    publish();

    if (!outgoing_.empty())
        return std::min(due, now + busy_bus_tried_every);
    return std::min(due, std::max(work_is_due(), ledger_due_));
}

std::string_view Server::condition() const
{
    if (ledger_fails_)
        return "the ledger fails: nothing is confirmed, the meters keep their readings";
    return connected_ ? "connected to the broker" : "not connected to the broker";
}

void Server::look_for_meters(SteadyTime now)
{
    meters_due_ = now + meters_checked_every;
    const MeterChanges changes = parts_.meter_changes();
    // First, since an added meter may be on a removed one's topic: subscribed anew, it brings what the broker keeps.
    for (const ServedMeter& meter : changes.removed) {
        head_end_.remove_meter(meter.id);
        classic_.remove_meter(meter.id);
        parts_.bus.unsubscribe(up_topic(meter));
        log::info("meter {}: removed: no longer served or answered; its readings stay in the ledger",
                  meter.id.text());
    }
    for (const ServedMeter& meter : changes.added) {
        serve(meter, now);
        log::info("meter {}: waiting for its readings", meter.id.text());
    }
}

void Server::serve(const ServedMeter& meter, SteadyTime now)
{
    if (const auto* channel = std::get_if<ClassicChannel>(&meter.wire)) {
        classic_.add_meter(meter.id, *channel, now);
    } else if (const auto* keys = std::get_if<crypto::MeterKeys>(&meter.wire)) {
        head_end_.add_meter(meter.id, *keys, meter.max_kw);
    }
    parts_.bus.subscribe(up_topic(meter));
}

void Server::take_events(SteadyTime now, WallTime wall)
{
    for (BusEvent& event : parts_.bus.take()) {
        if (auto* message = std::get_if<Received>(&event)) {
            if (waiting_.size() < parts_.most.waiting)
                waiting_.push_back(std::move(*message));
        } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
            tell_disconnected(*loss, now, wall);
        } else if (const auto* denied = std::get_if<PublishDenied>(&event)) {
            log::warning("{}", denied->reason);
        } else if (const auto* unheard = std::get_if<SubscribeDenied>(&event)) {
            log::warning("{}; all other meters are heard", unheard->reason);
        } else {
            tell_connected(now);
        }
    }
}

// A broker that is away for a night, or comes and goes, is worth a line a minute, not one an attempt.
void Server::tell_connected(SteadyTime now)
{
    connected_ = true;
    classic_.connected(now);
    if (!std::exchange(connection_told_, true))
        log::info("connected to {}", broker_);
}

void Server::tell_disconnected(const Disconnected& loss, SteadyTime now, WallTime wall)
{
    connected_ = false;
    classic_.disconnected();
    outgoing_.clear(); // whoever still wants an answer asks again
    const bool contested = loss.loss == Loss::client_id_contested;
    if (contested && now >= next_contest_recorded_) {
        next_contest_recorded_ = now + contest_recorded_every;
        record_contest(loss.reason, wall);
    }
    if (now < next_loss_told_ && !contested)
        return;
    next_loss_told_ = now + trouble_told_every;
    log::warning("{}; trying again", loss.reason);
    connection_told_ = false;
}

void Server::record_contest(const std::string& reason, WallTime wall)
{
    try {
        parts_.ledger.record({wall, EventKind::client_id_contested, std::nullopt, reason});
    } catch (const std::exception& error) {
        log::error("{}; this alarm is not kept", error.what());
    }
}

void Server::handle_waiting(SteadyTime now, WallTime wall)
{
    std::vector<Arrival> arrivals;
    arrivals.reserve(waiting_.size());
    for (const Received& message : waiting_)
        arrivals.push_back({message.topic, message.payload, message.qos, message.retained});
    try {
        HeadEndResult result = head_end_.handle(arrivals, wall);
        join(result, classic_.handle(arrivals, now, wall));
        if (std::exchange(ledger_trouble_told_, false))
            log::info("the ledger works again");
        ledger_backoff_.reset();
        ledger_fails_ = false;
        for (Outgoing& answer : result.outgoing)
            outgoing_.push_back({std::move(answer), now});
        publish(); // before anything is printed: the meters wait
        const std::vector<Received> handled = std::exchange(waiting_, {});
        try {
            tell(result, handled, wall);
        } catch (const std::exception& error) {
            log::error("{}; {} readings are stored and confirmed, but not shown", error.what(),
                       result.admitted.size());
        }
    } catch (const std::exception& error) {
        ledger_due_ = now + ledger_backoff_.next();
        ledger_fails_ = true;
        if (now >= next_ledger_trouble_told_) {
            log::error("{}; nothing is confirmed meanwhile, the meters keep their readings; trying again",
                       error.what());
            ledger_trouble_told_ = true;
            next_ledger_trouble_told_ = now + trouble_told_every;
        }
    }
}

void Server::tell(const HeadEndResult& result, std::span<const Received> handled, WallTime wall)
{
    for (const Alarm& alarm : result.alarms)
        log::warning("meter {}: {}", alarm.meter.text(), alarm.text);

    std::string lines;
    std::size_t shown = 0;
    const auto envelopes_before = [&](std::size_t end, std::string_view what) {
        for (; parts_.detail == Detail::envelopes && shown < end; ++shown)
            lines += fmt::format("{} {}", what, report::envelope_line(handled[shown]));
    };
    const auto used = parts_.ledger.consumption_until(result.admitted);
    for (std::size_t index = 0; index < result.admitted.size(); ++index) {
        const AdmittedReading& admitted = result.admitted[index];
        envelopes_before(admitted.arrival, "no new reading in");
        if (const auto change = register_change(admitted.reading))
            log::info("meter {}: {}", admitted.meter.text(), *change);
        lines += report::reading_line(admitted.meter, admitted.reading, wall, used[index], parts_.tariff);
        if (admitted.novelty == Novelty::known_already)
            lines.insert(lines.size() - 1, ", known already");
        envelopes_before(admitted.arrival + 1, "    sealed in");
    }
    envelopes_before(handled.size(), "no new reading in");
    if (!lines.empty())
        parts_.print(lines);
}

void Server::publish()
{
    if (!connected_)
        outgoing_.clear();
    const auto is_taken = [this](const Outgoing& answer) {
        return parts_.bus.publish(answer.topic, answer.payload, Retain::no);
    };
    while (!outgoing_.empty() && is_taken(outgoing_.front().message))
        outgoing_.pop_front();
    while (outgoing_.size() > parts_.most.outgoing)
        outgoing_.pop_front();
}

} // namespace pulsemeter
