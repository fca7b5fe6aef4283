#include "server/server.hpp"
#include "shared/reading_codec.hpp"
#include "tests/unit/server/filling_ledger.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <utility>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

// A broker that does as the test says.
class ScriptedBus : public MessageBus {
public:
    void subscribe(const std::string& topic) override
    {
        asked.push_back("+" + topic);
        subscribed.push_back(topic);
    }
    void unsubscribe(const std::string& topic) override
    {
        asked.push_back("-" + topic);
        std::erase(subscribed, topic);
    }
    bool publish(const std::string& topic, std::string_view payload, Retain retain) override
    {
        if (busy)
            return false;
        published.push_back({topic, std::string(payload), 1, retain == Retain::yes});
        return true;
    }
    std::vector<BusEvent> take() override { return std::exchange(events, {}); }
    std::chrono::steady_clock::time_point tick(std::chrono::steady_clock::time_point now) override
    {
        return now + 1h;
    }
    void close() override {}

    std::vector<std::string> asked; // "+" subscribe, "-" unsubscribe
    std::vector<std::string> subscribed;
    std::vector<Received> published;
    std::vector<BusEvent> events;
    bool busy = false;
};

struct World {
    MeterId hall = *MeterId::parse("hall");
    crypto::MeterKeys keys = crypto::derive(crypto::MasterKey::random(), hall);
    ScriptedBus bus;
    FillingLedger ledger;
    Tariff tariff = *Tariff::parse("0.39", "£");
    std::vector<ServedMeter> added{{hall, keys, 43}};
    std::vector<ServedMeter> removed;
    std::string printed;
    Server::SteadyTime now{1h};
    WallTime wall{std::chrono::milliseconds(1'663'416'000'000)};

    Server server;

    explicit World(Detail detail)
        : server({.bus = bus,
                  .ledger = ledger,
                  .tariff = tariff,
                  .meter_changes =
                      [this] {
                          return MeterChanges{std::exchange(removed, {}), std::exchange(added, {})};
                      },
                  .print = [this](const std::string& lines) { printed += lines; },
                  .detail = detail},
                 "mqtt://scripted", 1)
    {
        bus.events.emplace_back(Connected{});
        (void)turn();
    }

    Server::SteadyTime turn() { return server.turn(now, wall); }

    [[nodiscard]] Received sealed(std::uint64_t sequence, std::uint64_t total) const
    {
        Reading reading;
        reading.epoch = Epoch{1};
        reading.sequence = Sequence{sequence};
        reading.total = Pulses{total};
        reading.measured_at = wall;
        reading.clock = Clock::synchronised;
        reading.uptime = 1min * sequence;
        const Plaintext plaintext = encode(hall, UpMessage(reading));
        return {keys.up_topic, crypto::Fernet(keys.up).seal(plaintext, 0, crypto::random_iv()), 1, false};
    }
    void arrive(const Received& message) { bus.events.emplace_back(message); }

    [[nodiscard]] std::vector<DownMessage> answers() const
    {
        std::vector<DownMessage> opened;
        crypto::Fernet down(keys.down);
        for (const Received& message : bus.published) {
            BOOST_TEST_REQUIRE(message.topic == keys.down_topic);
            BOOST_TEST(!message.retained);
            opened.push_back(decode_down(hall, down.open(message.payload).value().plaintext).value());
        }
        return opened;
    }
    [[nodiscard]] bool confirmed(std::uint64_t sequence) const
    {
        const auto all = answers();
        return std::any_of(all.begin(), all.end(), [&](const DownMessage& message) {
            const auto* range = std::get_if<Confirmation>(&message);
            return range != nullptr && range->first.value <= sequence && sequence <= range->last.value;
        });
    }
    [[nodiscard]] std::ptrdiff_t lines() const { return std::count(printed.begin(), printed.end(), '\n'); }
};

ServedMeter classic_attic()
{
    return {*MeterId::parse("attic"),
            ClassicChannel{crypto::FernetKey(crypto::MasterKey::random().bytes()), {}}};
}

struct QuietWorld : World {
    QuietWorld() : World(Detail::readings) {}
};
struct VerboseWorld : World {
    VerboseWorld() : World(Detail::envelopes) {}
};

} // namespace

BOOST_AUTO_TEST_SUITE(server_)

BOOST_FIXTURE_TEST_CASE(a_reading_is_kept_confirmed_and_printed, QuietWorld)
{
    arrive(sealed(1, 48));
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{48}));
    BOOST_TEST(lines() == 1);
    BOOST_TEST(printed.find("Total Units = 48") != std::string::npos, printed);
}

BOOST_FIXTURE_TEST_CASE(D3_a_duplicate_is_confirmed_again_and_prints_nothing, QuietWorld)
{
    arrive(sealed(1, 48));
    (void)turn();
    bus.published.clear();
    arrive(sealed(1, 48));
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST(lines() == 1);
}

BOOST_FIXTURE_TEST_CASE(P4_a_full_disk_confirms_nothing_until_it_has_room, QuietWorld)
{
    ledger.full = true;
    arrive(sealed(1, 48));
    const auto due = turn();
    BOOST_TEST(bus.published.empty());
    BOOST_TEST(printed == "");
    BOOST_TEST((due > now && due <= now + 1s));

    ledger.full = false;
    (void)turn(); // before its time: not tried
    BOOST_TEST(bus.published.empty());
    now += 1s;
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST(lines() == 1);
}

BOOST_FIXTURE_TEST_CASE(what_waits_for_a_full_disk_is_bounded, QuietWorld)
{
    ledger.full = true;
    const Received reading = sealed(1, 48);
    for (std::size_t count = 0; count < Server::usual.waiting + 1; ++count)
        arrive(reading);
    arrive(sealed(2, 49));
    (void)turn();
    ledger.full = false;
    now += 1s;
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST(!confirmed(2)); // the meter will send it again
}

BOOST_FIXTURE_TEST_CASE(a_meter_that_is_added_is_served_within_a_second, QuietWorld)
{
    const MeterId attic = *MeterId::parse("attic");
    const crypto::MeterKeys attic_keys = crypto::derive(crypto::MasterKey::random(), attic);
    added = {{attic, attic_keys, 43}};
    const std::string topic = attic_keys.up_topic;
    BOOST_TEST((turn() <= now + 1s));
    BOOST_TEST((bus.subscribed == std::vector{keys.up_topic}));
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.subscribed == std::vector{keys.up_topic, topic}));
}

BOOST_FIXTURE_TEST_CASE(a_meter_that_is_removed_is_neither_served_nor_answered, QuietWorld)
{
    arrive(sealed(1, 48));
    (void)turn();
    bus.published.clear();
    removed = {{hall, keys, 43}};
    now += 1s;
    (void)turn();
    BOOST_TEST(bus.subscribed.empty());
    arrive(sealed(1, 48)); // which was on its way
    arrive(sealed(2, 49));
    (void)turn();
    BOOST_TEST(bus.published.empty());
    BOOST_TEST(lines() == 1);
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{48})); // which stays
}

BOOST_FIXTURE_TEST_CASE(a_classic_meter_that_is_removed_is_never_spoken_to_again, QuietWorld)
{
    const ServedMeter attic = classic_attic();
    added = {attic};
    now += 1s;
    (void)turn();
    removed = {attic};
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.subscribed == std::vector{keys.up_topic}));
    for (int look = 0; look < 30; ++look) {
        now += 1s;
        (void)turn();
    }
    BOOST_TEST(bus.published.empty());
}

BOOST_FIXTURE_TEST_CASE(a_meter_that_is_removed_and_added_anew_at_once_has_its_new_key_alone, QuietWorld)
{
    const Received old = sealed(1, 48);
    removed = {{hall, keys, 43}};
    keys = crypto::derive(crypto::MasterKey::random(), hall);
    added = {{hall, keys, 43}};
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.subscribed == std::vector{keys.up_topic}));
    arrive(old);
    (void)turn();
    BOOST_TEST(bus.published.empty());
    arrive(sealed(1, 7));
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{7}));
}

BOOST_FIXTURE_TEST_CASE(a_meter_that_is_added_on_the_topics_of_a_removed_one_has_them_subscribed_anew,
                        QuietWorld)
{
    const ServedMeter old = classic_attic();
    added = {old};
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.asked == std::vector{"+" + keys.up_topic, std::string("+UNITS1221")}));
    bus.asked.clear();
    removed = {old};
    added = {classic_attic()};
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.asked == std::vector<std::string>{"-UNITS1221", "+UNITS1221"}));
}

BOOST_FIXTURE_TEST_CASE(a_classic_meter_is_served_beside_a_sealed_one, QuietWorld)
{
    const crypto::FernetKey key(crypto::MasterKey::random().bytes());
    const auto token = [&key](std::string_view total) {
        const std::vector<std::uint8_t> plaintext(total.begin(), total.end());
        return crypto::Fernet(key).seal(plaintext, 0, crypto::random_iv());
    };
    added = {{*MeterId::parse("attic"), ClassicChannel{key, {}}}};
    now += 1s;
    (void)turn();
    BOOST_TEST((bus.subscribed == std::vector{keys.up_topic, std::string("UNITS1221")}));
    now += 1s;
    BOOST_TEST((turn() == now + 1s)); // two seconds after the subscription
    BOOST_TEST(bus.published.empty());
    arrive({"UNITS1221", token("48"), 1, false});
    arrive(sealed(1, 7));
    (void)turn();
    BOOST_TEST_REQUIRE(bus.published.size() == 2U);
    BOOST_TEST(bus.published.at(1).topic == "UNITS1222");
    BOOST_TEST(!bus.published.at(1).retained);
    BOOST_TEST(printed.find("attic  Total Units = 48, Total Cost (@£0.00039 per unit): £0.0187\n") !=
                   std::string::npos,
               printed);
    BOOST_TEST(printed.find("attic") < printed.find("hall"), printed); // as they came
    now += 10s;
    (void)turn();
    BOOST_TEST(bus.published.size() == 3U); // the stored total, said again

    ledger.full = true;
    arrive({"UNITS1221", token("50"), 1, false});
    now += 1s;
    (void)turn();
    BOOST_TEST(bus.published.size() == 3U);
    ledger.full = false;
    now += 1s;
    (void)turn();
    BOOST_TEST(bus.published.size() == 3U); // it was spoken to: is there one loop?
    now += 5s;
    (void)turn();
    BOOST_TEST(bus.published.size() == 4U);
}

BOOST_FIXTURE_TEST_CASE(an_answer_that_the_bus_has_no_room_for_is_sent_later, QuietWorld)
{
    bus.busy = true;
    arrive(sealed(1, 48));
    BOOST_TEST((turn() <= now + 1s));
    BOOST_TEST(bus.published.empty());
    bus.busy = false;
    (void)turn();
    BOOST_TEST(confirmed(1));
}

BOOST_FIXTURE_TEST_CASE(an_answer_of_a_lost_connection_is_not_sent_on_the_next, QuietWorld)
{
    bus.busy = true;
    arrive(sealed(1, 48));
    (void)turn();
    bus.events.emplace_back(Disconnected{"the broker went away"});
    (void)turn();
    bus.busy = false;
    bus.events.emplace_back(Connected{});
    (void)turn();
    BOOST_TEST(bus.published.empty());
}

BOOST_FIXTURE_TEST_CASE(a_topic_that_is_refused_is_no_lost_connection, QuietWorld)
{
    bus.busy = true;
    arrive(sealed(1, 48));
    (void)turn();
    bus.events.emplace_back(SubscribeDenied{"topic another: not authorised"});
    (void)turn();
    BOOST_TEST(server.condition() == "connected to the broker");
    bus.busy = false;
    (void)turn();
    BOOST_TEST(confirmed(1));
}

BOOST_FIXTURE_TEST_CASE(verbose_shows_the_envelope_of_everything_that_arrived, VerboseWorld)
{
    const Received first = sealed(1, 48);
    arrive({keys.up_topic, "junk", 0, true});
    arrive(first);
    arrive(first);
    (void)turn();
    const std::string envelope = keys.up_topic + ", QoS 1, retain 0: " + first.payload + "\n";
    BOOST_TEST(lines() == 4, printed);
    BOOST_TEST(printed.find("no new reading in " + keys.up_topic + ", QoS 0, retain 1: junk\n") == 0,
               printed);
    BOOST_TEST(printed.find("\n    sealed in " + envelope) != std::string::npos, printed);
    BOOST_TEST(printed.find("\nno new reading in " + envelope) != std::string::npos, printed);
}

BOOST_FIXTURE_TEST_CASE(B1_while_the_bus_is_busy_readings_gather_and_one_confirmation_is_for_all, QuietWorld)
{
    bus.busy = true;
    for (std::uint64_t sequence = 1; sequence <= 20; ++sequence) {
        arrive(sealed(sequence, 10 * sequence));
        (void)turn();
        now += sequence == 2 ? 250ms : 0ms; // a window that is full for a moment is not a bus that is busy
    }
    BOOST_TEST(server.condition() == "connected to the broker");
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{20}));
    bus.busy = false;
    now += 10ms;
    (void)turn();
    BOOST_TEST(confirmed(1));
    BOOST_TEST(confirmed(2));
    BOOST_TEST(confirmed(20));
    BOOST_TEST(bus.published.size() == 3U);
    BOOST_TEST(lines() == 20);

    bus.busy = true; // … but what the broker does decides for a while only when a reading is stored
    arrive(sealed(21, 210));
    (void)turn();
    now += 250ms;
    arrive(sealed(22, 220));
    (void)turn();
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{210}));
    now += 10s;
    (void)turn();
    BOOST_TEST((ledger.summary(hall)->newest.total == Pulses{220}));
    for (std::uint64_t sequence = 23; sequence < 23 + Server::usual.waiting / 2; ++sequence)
        arrive(sealed(sequence, 10 * sequence));
    (void)turn();
    BOOST_TEST((ledger.summary(hall)->newest.sequence == Sequence{22 + Server::usual.waiting / 2}));
}

BOOST_AUTO_TEST_SUITE_END()
