// D5: many meters come back from an outage at once, at one broker whose queue for the server drops what is too much, as
// mosquitto's does. Uplinks and queues in steps of a millisecond, without disks or ciphers.
#include "meter-pi/uplink.hpp"

#include <boost/test/unit_test.hpp>

#include <deque>
#include <memory>
#include <set>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t fleet = 30;
constexpr std::uint64_t backlog = 1'500;
constexpr std::size_t broker_holds = 1'000; // mosquitto's max_queued_messages
constexpr std::size_t server_takes = 5;     // messages a millisecond
constexpr auto one_way = 25ms;
constexpr auto interval = 10s;

const SteadyTime begin = SteadyTime{} + 1000h;

Reading reading(std::uint64_t sequence)
{
    return {.epoch = Epoch{1}, .sequence = Sequence{sequence}, .total = Pulses{sequence}};
}

template <typename Message>
struct Post { // what is on its way, and takes its time
    std::deque<std::pair<SteadyTime, Message>> messages;

    void add(SteadyTime now, Message message) { messages.emplace_back(now + one_way, message); }
    std::optional<Message> take(SteadyTime now)
    {
        if (messages.empty() || messages.front().first > now)
            return std::nullopt;
        const Message message = messages.front().second;
        messages.pop_front();
        return message;
    }
};

struct Meter {
    explicit Meter(std::size_t number) : uplink(Hello{.nonce = Nonce{1}}, number), next_live(begin)
    {
        for (std::uint64_t sequence = 1; sequence <= backlog; ++sequence)
            outbox.insert(sequence);
        next_live += interval * number / fleet;
    }

    void turn(SteadyTime now)
    {
        while (const auto answer = down.take(now))
            (void)uplink.received(*answer, now);
        if (now >= next_live) {
            next_live += interval;
            forget_confirmed();
            outbox.insert(++newest);
            uplink.stored(reading(newest), now);
        }
        if (uplink.wants_commit())
            forget_confirmed();
        uplink.tick(now);
        while (uplink.room() > 0) {
            std::vector<Reading> rows;
            auto row = outbox.upper_bound(uplink.after().sequence.value);
            for (; row != outbox.end() && rows.size() < uplink.room(); ++row)
                rows.push_back(reading(*row));
            uplink.offer(rows, now);
        }
    }
    void forget_confirmed()
    {
        for (const Confirmation& range : uplink.confirmed())
            outbox.erase(outbox.lower_bound(range.first.value), outbox.upper_bound(range.last.value));
        uplink.settled();
    }

    Uplink uplink;
    std::set<std::uint64_t> outbox;
    std::uint64_t newest = backlog;
    SteadyTime next_live;
    Post<DownMessage> down;
};

struct Fleet {
    struct Sent {
        std::size_t meter;
        Uplink::Send send;
    };
    std::vector<std::unique_ptr<Meter>> meters;
    Post<Sent> up;
    std::deque<Sent> queue; // the broker's, for the server
    std::vector<std::set<std::uint64_t>> ledger{fleet};
    std::size_t messages = 0;
    std::size_t dropped = 0;
    SteadyTime now = begin;

    Fleet()
    {
        for (std::size_t number = 0; number < fleet; ++number) {
            meters.push_back(std::make_unique<Meter>(number));
            meters.back()->uplink.connected(now);
        }
    }

    void serve(const Sent& sent)
    {
        Meter& meter = *meters[sent.meter];
        if (const auto* read = std::get_if<Reading>(&sent.send.message)) {
            ledger[sent.meter].insert(read->sequence.value);
            meter.down.add(now, Confirmation{read->epoch, read->sequence, read->sequence});
        } else {
            meter.down.add(now, State{.nonce = Nonce{1}});
        }
    }
    void pass_a_millisecond()
    {
        now += 1ms;
        while (const auto sent = up.take(now)) {
            if (queue.size() < broker_holds) {
                queue.push_back(*sent);
            } else {
                ++dropped;
            }
        }
        for (std::size_t count = 0; count < server_takes && !queue.empty(); ++count) {
            serve(queue.front());
            queue.pop_front();
        }
        for (std::size_t number = 0; number < fleet; ++number) {
            Meter& meter = *meters[number];
            meter.turn(now);
            for (Uplink::Send& send : meter.uplink.take_messages()) {
                ++messages;
                up.add(now, {number, std::move(send)});
            }
        }
    }
    // Of a meter: how old the newest total is that the server knows.
    [[nodiscard]] std::uint64_t behind(std::size_t number) const
    {
        const auto& known = ledger[number];
        return meters[number]->newest - (known.empty() ? 0 : *known.rbegin());
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(uplink_fleet)

BOOST_FIXTURE_TEST_CASE(D5_a_fleet_that_comes_back_at_once_shares_a_queue_that_drops, Fleet)
{
    constexpr std::size_t all = fleet * backlog;
    const auto is_caught_up = [&](std::size_t number) {
        return ledger[number].size() >= backlog && *std::next(ledger[number].begin(), backlog - 1) == backlog;
    };
    std::size_t caught_up = 0;
    bool healed = false;
    std::uint64_t most_behind = 0;
    while (caught_up < fleet) {
        BOOST_TEST_REQUIRE((now - begin < 10 * std::chrono::milliseconds(all / server_takes)));
        pass_a_millisecond();
        caught_up = 0;
        healed = healed || now - begin > interval + 1s;
        for (std::size_t number = 0; number < fleet; ++number) {
            caught_up += is_caught_up(number) ? 1U : 0U;
            if (healed)
                most_behind = std::max(most_behind, behind(number));
        }
    }
    const auto ideal = std::chrono::milliseconds(all / server_takes);
    BOOST_TEST_MESSAGE(all << " readings of " << fleet << " meters: " << messages << " messages, " << dropped
                           << " of them dropped, caught up in " << (now - begin) / 1ms << " ms where "
                           << ideal.count() << " are the least");
    BOOST_TEST(dropped > 0U);                   // else this shows nothing
    BOOST_TEST(messages < all + all / 10);      // few are sent in vain
    BOOST_TEST((now - begin < 2 * ideal + 5s)); // the server is kept at work
    BOOST_TEST(most_behind <= 2U);              // nor does a live total wait for all this
}

BOOST_AUTO_TEST_SUITE_END()
