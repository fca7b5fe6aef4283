// Sans-I/O: the receiving side of the classic wire (shared/PROTOCOL.md, "The classic wire"), beside HeadEnd. There a
// confirmation makes the meter send again, so the loop of the two is the traffic, and every answer too many is a loop
// more. Therefore:
//   * a total that is not below the stored one is confirmed after the ledger's COMMIT; a lower one, a token that was
//     seen before, and what is no total are answered with nothing;
//   * when a total comes sooner after a confirmation than a meter pauses, there is a second loop, or this meter pauses
//     less. Then, for the 32nd total without a silence, and after the server has spoken by itself, what comes is kept but
//     not confirmed until 5 s of silence show that every loop has ended; one confirmation begins a single one;
//   * a retained reading that is new to the ledger is confirmed after such a silence too: another server may have done so,
//     and the meter be about to send the next one. One that the ledger has already is not confirmed at all;
//   * the stored total is said by itself when nothing has been accepted for 10 s (or 5 s more than the meter pauses, if
//     it pauses longer), but not before the retained reading had 2 s to come. So a loop starts on an empty broker, and
//     starts again whatever message was lost.
// One thread. Keeps a reference to the ledger.
#pragma once

#include "server/head_end.hpp"
#include "shared/classic_codec.hpp"

#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace pulsemeter {

struct ClassicChannel {
    crypto::FernetKey key; // one, both ways
    ClassicTopics topics;
};

class ClassicHeadEnd {
public:
    using SteadyTime = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::seconds retained_wait{2};
    static constexpr std::chrono::seconds repeat_every{10};
    static constexpr std::chrono::milliseconds earliest_answer{1'000}; // the Python meter sleeps 2 s and more
    static constexpr std::chrono::milliseconds hasty_answer{
        50};                                          // what is learned of other meters is not below
    static constexpr std::chrono::seconds silence{5}; // longer than a Python meter's pause
    static constexpr std::chrono::seconds longest_pause{
        60};                                               // believed at once; a longer one may be an outage
    static constexpr unsigned proof_every = 32;            // totals
    static constexpr std::chrono::hours alarm_interval{1}; // a meter and kind of trouble
    static constexpr std::size_t longest_payload = 1024;   // a total's token has 120 characters at most
    static constexpr std::size_t tokens_remembered = 64;   // a meter

    explicit ClassicHeadEnd(Ledger& ledger, HeadEnd::IvSource next_iv = crypto::random_iv);
    ~ClassicHeadEnd();

    // The same meter again replaces it.
    void add_meter(const MeterId& meter, const ClassicChannel& channel, SteadyTime now);
    void remove_meter(const MeterId& meter); // nothing more is said to it

    void connected(SteadyTime now); // and every subscription acknowledged
    void disconnected();

    // Takes in what arrived and answers what is due. Throws what the ledger throws: then what it was about is not
    // confirmed, and the same arrivals may be given again.
    [[nodiscard]] HeadEndResult handle(std::span<const Arrival> arrivals, SteadyTime now, WallTime wall);

    // When handle() is to be called even if nothing arrives.
    [[nodiscard]] SteadyTime next_deadline() const;

private:
    struct Meter;
    enum class Trouble : std::uint8_t { wrong_key, no_total, fell };

    void take_in(Meter& meter, const Arrival& arrival, std::size_t place, SteadyTime now, WallTime wall,
                 HeadEndResult& result);
    void say(Meter& meter, Pulses total, SteadyTime now, WallTime wall, HeadEndResult& result);
    void trouble(Meter& meter, Trouble kind, std::string what, WallTime wall, HeadEndResult& result);

    std::map<std::string, std::unique_ptr<Meter>, std::less<>> meters_; // by up topic
    Ledger& ledger_;
    HeadEnd::IvSource next_iv_;
    bool connected_ = false;
};

} // namespace pulsemeter
