// Sans-I/O: the meter's side of the sealed wire. Events and the time go in, messages to be sent come out;
// sealing, the broker and the disk are the loop's business. Until its Hello is answered it sends nothing
// else. Readings are in flight until confirmed or refused: sent again with jittered back-off (a PUBACK
// promises nothing), soon if a later one was answered before them. As many at once as SendWindow says; the rest
// waits in the outbox, which the loop pages in by room() and offer(). Memory is bounded by the widest window. One
// thread.
#pragma once

#include "meter-pi/meter_store.hpp"
#include "meter-pi/send_window.hpp"
#include "shared/backoff.hpp"
#include "shared/reading.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <variant>
#include <vector>

namespace pulsemeter {

using SteadyTime = std::chrono::steady_clock::time_point;

class Uplink {
public:
    static constexpr std::size_t page = 64; // outbox rows taken at once
    static constexpr std::chrono::seconds first_resend{5};
    static constexpr std::chrono::seconds slowest_resend{60};
    static constexpr std::chrono::milliseconds overtaken_resend{
        250}; // brokers keep the order, but for this long
    static constexpr std::chrono::hours held_resend{1};
    static constexpr std::chrono::seconds held_next{
        15}; // to the next few, or once the operator has accepted one
    static constexpr std::size_t held_at_once = 16;
    // Ranges between two commits, and as many refused; more are told again. Holds a whole window beside those that ask
    // for a commit.
    static constexpr std::size_t most_confirmed = 2 * SendWindow::widest;

    struct Send {
        std::variant<Hello, Reading> message;
        bool newest = false; // only the newest reading is retained
    };

    Uplink(const Hello& hello, std::uint64_t seed);

    // Events.
    void connected(SteadyTime now);
    void disconnected();
    // A State that answers our Hello, the first time; everything else is taken in.
    [[nodiscard]] std::optional<State> received(const DownMessage& message, SteadyTime now);
    // Did the last message settle a reading that was on its way? A replayed one does not: no reason to say anything.
    [[nodiscard]] bool settled_some() const { return settled_some_; }
    // Was the last message an answer to what was sent? Also a held reading's that is refused once more.
    [[nodiscard]] bool was_answered() const { return was_answered_; }
    void stored(const Reading& newest, SteadyTime now);        // committed, so it may leave
    void offer(std::span<const Reading> rows, SteadyTime now); // what room() and after() asked for
    void offer_held(std::span<const Reading> rows,
                    SteadyTime now);    // when held_due(): those after held_after()
    void postpone_held(SteadyTime now); // the disk could not be read
    void tick(SteadyTime now);

    // What is to be done.
    [[nodiscard]] std::vector<Send> take_messages();
    [[nodiscard]] std::size_t room() const; // how many outbox rows it would take now, at most a page
    [[nodiscard]] const ReadingKey& after() const { return cursor_; }
    [[nodiscard]] bool held_due(SteadyTime now) const;
    [[nodiscard]] const ReadingKey& held_after() const { return held_cursor_; }
    [[nodiscard]] SteadyTime next_deadline() const;

    [[nodiscard]] std::size_t in_flight() const { return in_flight_.size(); }

    // What the store is to forget or set aside; kept until the commit that does it is done.
    [[nodiscard]] const std::vector<Confirmation>& confirmed() const { return confirmed_; }
    [[nodiscard]] const std::vector<Refused>& refused() const { return refused_; }
    // So many ranges settled what was on its way that the next reading's commit is too far off: a thinned backlog comes
    // in as single numbers. Replayed ones do not count, so that they cost the card no sync.
    [[nodiscard]] bool wants_commit() const { return ranges_met_ >= most_confirmed / 2; }
    void settled(); // that commit is done

private:
    struct InFlight {
        Reading reading;
        SteadyTime resend_at;
        Backoff backoff;
        std::uint64_t sent_as = 0; // its place among all that was ever sent
        bool overtaken = false;    // one that was sent later was answered
    };
    using Flights = std::map<ReadingKey, InFlight>;
    void send(const Reading& reading, SteadyTime now);
    void send_again(InFlight& flight, SteadyTime now);
    void keep_oldest();
    void note_if_full();
    void confirm(const Confirmation& confirmation, SteadyTime now);
    void answered(Flights::iterator first, Flights::iterator end);
    [[nodiscard]] bool is_confirmed(const ReadingKey& at) const;

    Hello hello_;
    std::uint64_t seed_;
    bool connected_ = false;
    bool greeted_ = false;
    SteadyTime hello_at_ = SteadyTime::max();
    Backoff hello_backoff_;
    Flights in_flight_;
    SendWindow window_;
    std::uint64_t sent_ = 0;
    std::uint64_t newest_answered_ = 0; // of what was sent
    std::uint64_t sent_when_full_ = 0;  // up to here the window was what limited
    std::uint64_t sent_at_loss_ = 0;    // what was sent up to here cannot narrow the window once more
    std::size_t overtaken_ = 0;         // of those in flight
    ReadingKey cursor_;                 // every outbox row up to here was offered
    bool caught_up_ = false;            // nothing lies behind the cursor
    ReadingKey ahead_;                  // the newest reading sent past the backlog on this connection
    std::uint64_t ahead_sent_as_ = 0;
    SteadyTime held_at_ = SteadyTime::max();
    ReadingKey held_cursor_;           // every held row up to here was sent in this round
    std::vector<ReadingKey> held_out_; // the held ones sent last, unanswered
    bool settled_some_ = false;
    bool was_answered_ = false;
    std::size_t ranges_met_ = 0; // confirmed or refused since the last commit, and a reading was on its way
    std::vector<Send> messages_;
    std::vector<Confirmation> confirmed_;
    std::vector<Refused> refused_;
};

} // namespace pulsemeter
