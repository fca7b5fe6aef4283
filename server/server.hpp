// What a running server does, a turn at a time: takes what the bus received, lets the head ends of the two wires open,
// admit and store it, publishes the answers, prints a line a new reading. While the ledger fails nothing is
// confirmed: what arrived waits (bounded; the meters keep theirs and send again) and is tried again with
// back-off. Never waits and knows no clock: the caller does. Keeps references to what it is given. One
// thread.
#pragma once

#include "server/classic_head_end.hpp"
#include "server/head_end.hpp"
#include "server/report.hpp"
#include "server/sqlite_ledger.hpp"
#include "server/tariff.hpp"
#include "shared/backoff.hpp"
#include "shared/message_bus.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <string_view>
#include <variant>

namespace pulsemeter {

struct ServedMeter {
    MeterId id;
    std::variant<crypto::MeterKeys, ClassicChannel> wire;
    std::uint32_t max_kw = default_max_kw;
};

// Since the last look. A meter that was removed and added anew is in both.
struct MeterChanges {
    std::vector<ServedMeter> removed; // as it was served
    std::vector<ServedMeter> added;
};

enum class Detail { readings, envelopes }; // envelopes: --verbose

class Server {
public:
    using SteadyTime = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::seconds meters_checked_every{1};

    struct Queues {
        std::size_t waiting = 0;  // messages, while the ledger fails or the bus is busy
        std::size_t outgoing = 0; // answers, while the bus is busy
    };
    static constexpr Queues usual = {.waiting = 10'000, .outgoing = 100'000};
    struct Parts {
        MessageBus& bus;
        SqliteLedger& ledger;
        const Tariff& tariff;
        std::function<MeterChanges()> meter_changes; // at the first call every meter is added
        std::function<void(const std::string& lines)> print;
        Detail detail = Detail::readings;
        Queues most = usual;
    };
    Server(Parts parts, std::string broker, std::uint64_t seed); // `broker`: its name, for people

    // Answers when the next turn is due, if nothing wakes the caller before.
    [[nodiscard]] SteadyTime turn(SteadyTime now, WallTime wall);

    [[nodiscard]] std::string_view condition() const; // a few words for whoever asks the service manager
    [[nodiscard]] Queues queues() const { return {waiting_.size(), outgoing_.size()}; }

private:
    void look_for_meters(SteadyTime now);
    void serve(const ServedMeter& meter, SteadyTime now);
    void take_events(SteadyTime now, WallTime wall);
    void tell_connected(SteadyTime now);
    void tell_disconnected(const Disconnected& loss, SteadyTime now, WallTime wall);
    void record_contest(const std::string& reason, WallTime wall);
    void handle_waiting(SteadyTime now, WallTime wall);
    void tell(const HeadEndResult& result, std::span<const Received> handled, WallTime wall);
    void publish();

    Parts parts_;
    std::string broker_;
    HeadEnd head_end_;
    ClassicHeadEnd classic_;
    std::vector<Received> waiting_;
    struct Answer {
        Outgoing message;
        SteadyTime since; // when it was ready
    };
    std::deque<Answer> outgoing_;
    bool connected_ = false;
    bool connection_told_ = false; // what the last line about it said
    SteadyTime meters_due_ = SteadyTime::min();
    SteadyTime next_loss_told_ = SteadyTime::min();
    SteadyTime next_contest_recorded_ = SteadyTime::min();
    Backoff ledger_backoff_;
    SteadyTime ledger_due_ = SteadyTime::min();
    SteadyTime gathered_from_ = SteadyTime::min();
    bool ledger_fails_ = false;
    bool ledger_trouble_told_ = false; // what the last line about it said
    SteadyTime next_ledger_trouble_told_ = SteadyTime::min();
};

} // namespace pulsemeter
