// Sans-I/O: the receiving side of the sealed wire. What arrived and the time go in; what is to be sent,
// printed and alarmed comes out. The topic chooses the meter and its key, nothing is ever tried; the length
// is checked first. Confirmations are made only after Ledger::append returned (COMMIT). One thread. Keeps a
// reference to the ledger.
#pragma once

#include "server/ledger.hpp"
#include "shared/crypto/meter_keys.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

// Views into what the bus received; needed during handle() only.
struct Arrival {
    std::string_view topic;
    std::string_view payload;
    int qos = 0;
    bool retained = false;
};

// QoS 1, not retained.
struct Outgoing {
    std::string topic;
    std::string payload;
};

enum class Novelty : std::uint8_t { first_time, known_already };

// A line to print: accepted for the first time, or retained and known already (after a restart, where the meter stands).
// `arrival` is its place among the arrivals.
struct AdmittedReading {
    MeterId meter;
    Reading reading;
    std::size_t arrival = 0;
    Novelty novelty = Novelty::first_time;
};

// Is already an event in the ledger; to be logged.
struct Alarm {
    MeterId meter;
    EventKind kind = EventKind::bad_tokens;
    std::string text;
};

struct HeadEndResult {
    std::vector<Outgoing> outgoing;
    std::vector<AdmittedReading> admitted;
    std::vector<Alarm> alarms;
};

class HeadEnd {
public:
    static constexpr std::chrono::hours bad_token_alarm_interval{1}; // a meter

    using IvSource = std::function<crypto::Iv()>;
    explicit HeadEnd(Ledger& ledger, IvSource next_iv = crypto::random_iv);
    ~HeadEnd();

    // The same meter again replaces it. `max_kw` is at least 1.
    void add_meter(const MeterId& meter, const crypto::MeterKeys& keys,
                   std::uint32_t max_kw = default_max_kw);
    void remove_meter(const MeterId& meter); // what comes of it from now on is as a stranger's

    // One transaction of the ledger. Throws what the ledger throws: then nothing is confirmed, and the meters
    // will send again.
    [[nodiscard]] HeadEndResult handle(std::span<const Arrival> arrivals, WallTime now);

private:
    struct Meter;
    struct Settled;
    struct Batch;
    std::map<std::string, std::unique_ptr<Meter>, std::less<>> meters_; // by up topic
    Ledger& ledger_;
    IvSource next_iv_;

    void take_in(const Arrival& arrival, std::size_t place, Batch& batch);
    void settle(Batch& batch);
    void confirm(Batch& batch);
    void refuse(Batch& batch);
    void answer_hellos(Batch& batch);
    void send(Meter& meter, const DownMessage& message, Batch& batch);
    void alarm(const Meter& meter, EventKind kind, std::string text, Batch& batch);
    void bad_token(Meter& meter, Batch& batch);
};

} // namespace pulsemeter
