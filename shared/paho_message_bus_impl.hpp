// What the parts of PahoMessageBus share: the supervisor's state. For paho_message_bus*.cpp only. All but the inbox
// belongs to the thread that uses the bus.
#pragma once

#include "shared/backoff.hpp"
#include "shared/broker_address.hpp"
#include "shared/bus_inbox.hpp"
#include "shared/paho_connection.hpp"
#include "shared/paho_message_bus.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace pulsemeter {

struct PahoMessageBus::Impl {
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds first_wait{500};
    static constexpr std::chrono::seconds longest_wait{30};
    static constexpr std::chrono::seconds answers_within{10}; // of the broker, to whatever it is asked
    static constexpr std::chrono::minutes refused_topics_again_after{1};
    enum class Stage { waiting, looking_up, connecting, diagnosing, subscribing, ready, closed };
    enum class Answer { none, granted, refused };
    struct Subscription {              // of the present connection
        SubscriptionNumber number = 0; // that it was last asked for by
        Answer answer = Answer::none;
        int code = 0; // why it was refused
        [[nodiscard]] bool is_refused() const { return answer == Answer::refused; }
    };
    using Topics = std::map<std::string, Subscription>;
    static bool is_refused(const Topics::value_type& topic) { return topic.second.is_refused(); }

    Impl(const BrokerSettings& broker, std::string id, std::uint64_t seed, std::function<void()> wake)
        : settings(broker),
          client_id(std::move(id)),
          backoff(first_wait, longest_wait, seed),
          inbox(std::make_shared<BusInbox>(std::move(wake)))
    {
    }

    void begin(Time now);
    void look_up_name();
    void connect(Time now);
    void connect_to_next_or_fail(Time now, const std::string& reason);
    void diagnose(Time now);
    void fail(Time now, const std::string& reason, Loss loss = Loss::connection);
    void drop_connection();
    void note_loss(Time now);
    [[nodiscard]] bool may_hang() const;
    void become_ready(Time now);
    [[nodiscard]] bool can_subscribe() const;
    [[nodiscard]] std::string subscribing_to(Topics::value_type& topic);
    void take_answer(const std::string& topic, Subscription subscription, Time now);
    void judge_answers(Time now);
    void tell_refused_topics(Time now);
    [[nodiscard]] bool is_worthless() const; // every topic, or one that is required, is refused
    [[nodiscard]] Topics::const_iterator first_refused() const;
    [[nodiscard]] std::string refused_topics() const;
    [[nodiscard]] Time try_refused_topics_again(Time now); // answers the next deadline

    // Takes in what the other threads reported; whether anything but messages was among it.
    bool process(Time now);
    void handle(Received&& received, Time now);
    void handle(LookedUp&& looked_up, Time now);
    void handle(const Opened& opened, Time now);
    void handle(const OpenFailed& failed, Time now);
    void handle(const Subscribed& subscribed, Time now);
    void handle(const SubscribeFailed& failed, Time now);
    void handle(const Lost& lost, Time now);
    void handle(const PublishRefused& refused, Time now);
    void handle(const Diagnosed& diagnosed, Time now);
    void handle(const Abandoned& abandoned, Time now);

    void time_out(Time now);
    [[nodiscard]] Time warn_of_dropped(Time now);
    [[nodiscard]] Time give_up_what_is_stuck(Time now); // answers when to look again

    const BrokerSettings settings;
    const std::string client_id;
    Backoff backoff;
    std::shared_ptr<BusInbox> inbox; // shared with the thread that looks up a name, which may hang for long
    Topics topics;
    std::set<std::string> required; // of these
    std::vector<BusEvent> events;
    std::size_t messages = 0; // among the events

    Stage stage = Stage::waiting;
    Time deadline = Time::min(); // of the stage
    Time ready_since{};
    bool name_in_question = false;
    bool abandoned = false;               // a connection hangs in Paho, and would take a next one with it
    std::vector<BrokerAddress> addresses; // of this attempt
    std::size_t address = 0;              // the one in use
    ConnectionNumber number = 0;
    std::unique_ptr<PahoConnection> connection;
    SubscriptionNumber subscriptions = 0; // that were ever asked for
    std::size_t unanswered = 0;           // of the topics
    Time refused_topics_due = Time::max();
    Time stuck_due = Time::max(); // to be looked for

    BusInbox::Dropped dropped; // not yet told
    Time next_warning = Time::min();
    Time next_refusal_told = Time::min();
    int short_lived = 0; // connections in a row that were lost soon after they were made
    Time next_rival_told = Time::min();
    Time next_refused_topic_told = Time::min();
};

} // namespace pulsemeter
