// What the tests of the message bus need: the broker that with_broker.py started, programs on it and their loop, and
// a broker that answers by a script.
#pragma once

#include "shared/event_loop.hpp"
#include "shared/paho_message_bus.hpp"
#include "surroundings.hpp"
#include "tests/unit/loopback_port.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pulsemeter {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

inline std::string from_environment(const char* name)
{
    const char* value = std::getenv(name);
    BOOST_REQUIRE_MESSAGE(value != nullptr, name << " is not set: run this by with_broker.py");
    return value;
}

inline std::uint16_t broker_port()
{
    return static_cast<std::uint16_t>(std::stoi(from_environment("BROKER_PORT")));
}

// kill, start, freeze or thaw
inline void broker(const std::string& word)
{
    const int control = std::stoi(from_environment("BROKER_CONTROL"));
    const std::string line = word + "\n";
    BOOST_REQUIRE(::write(control, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
    char done = 0;
    BOOST_REQUIRE(::read(control, &done, 1) == 1);
}

inline BrokerSettings settings(MqttVersion version = MqttVersion::v5, const std::string& host = "127.0.0.1")
{
    return {{host, broker_port()}, version};
}

inline std::string unique(const std::string& name)
{
    static int count = 0;
    return name + "-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

// One program's view of the bus.
struct Program {
    Program(EventLoop& loop, const BrokerSettings& broker, std::string client_id = unique("client"))
        : id(client_id), bus(broker, std::move(client_id), 1, [&loop] { loop.wake(); })
    {
    }

    void take()
    {
        for (auto& event : bus.take()) {
            if (std::holds_alternative<Connected>(event)) {
                ++connects;
                connected = true;
            } else if (const auto* loss = std::get_if<Disconnected>(&event)) {
                connected = false;
                reasons.push_back(loss->reason);
                last_loss = loss->loss;
                contests += loss->loss == Loss::client_id_contested ? 1 : 0;
            } else if (const auto* denied = std::get_if<SubscribeDenied>(&event)) {
                denials.push_back(denied->reason);
            } else if (auto* message = std::get_if<Received>(&event)) {
                received.push_back(std::move(*message));
            }
        }
    }

    std::string id;
    PahoMessageBus bus;
    int connects = 0;
    bool connected = false;
    std::vector<std::string> reasons;
    Loss last_loss = Loss::connection;
    int contests = 0;
    std::vector<std::string> denials; // of topics, on a good connection
    std::vector<Received> received;
};

// The loop of all programs of a test.
struct World {
    // Until it holds; a minute is the end of the test's patience.
    template <typename Condition>
    void run_until(const std::vector<Program*>& programs, Condition condition)
    {
        const auto limit = steady_clock::now() + seconds(60);
        while (true) {
            auto deadline = limit;
            for (auto* program : programs) {
                deadline = std::min(deadline, program->bus.tick(steady_clock::now()));
                program->take();
            }
            if (condition())
                return;
            BOOST_REQUIRE_MESSAGE(steady_clock::now() < limit, "waited for a minute in vain");
            loop.wait_until(deadline);
        }
    }

    void run_for(const std::vector<Program*>& programs, milliseconds duration)
    {
        const auto end = steady_clock::now() + duration;
        while (steady_clock::now() < end) {
            auto deadline = end;
            for (auto* program : programs) {
                deadline = std::min(deadline, program->bus.tick(steady_clock::now()));
                program->take();
            }
            loop.wait_until(deadline);
        }
    }

    void connect(const std::vector<Program*>& programs)
    {
        run_until(programs, [&] {
            return std::all_of(programs.begin(), programs.end(),
                               [](const auto* each) { return each->connected; });
        });
    }

    EventLoop loop;
};

// Answers each packet of its only client by the next of its lines, then says nothing more.
class ScriptedBroker {
public:
    explicit ScriptedBroker(std::vector<std::string> answers) : answers_(std::move(answers))
    {
        BOOST_REQUIRE(::listen(port_.socket(), 10) == 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~ScriptedBroker()
    {
        ::shutdown(port_.socket(), SHUT_RDWR);
        thread_.join();
        ::close(client_);
    }
    ScriptedBroker(const ScriptedBroker&) = delete;
    ScriptedBroker& operator=(const ScriptedBroker&) = delete;
    [[nodiscard]] BrokerSettings settings(MqttVersion version) const { return port_.settings(version); }
    [[nodiscard]] bool done() const { return answered_ == answers_.size(); }
    [[nodiscard]] bool answered(std::size_t packets) const { return answered_ >= packets; }

private:
    // One, however many come at once (MQTT 2.1.4: its length has 7 bits a byte, the lowest first).
    [[nodiscard]] bool take_packet() const
    {
        std::uint8_t byte = 0;
        if (::recv(client_, &byte, 1, MSG_WAITALL) != 1)
            return false;
        std::size_t length = 0;
        unsigned shift = 0;
        do {
            if (::recv(client_, &byte, 1, MSG_WAITALL) != 1)
                return false;
            length |= static_cast<std::size_t>(byte & 0x7fU) << shift;
            shift += 7;
        } while ((byte & 0x80U) != 0);
        std::string rest(length, '\0');
        return length == 0 ||
               ::recv(client_, rest.data(), length, MSG_WAITALL) == static_cast<ssize_t>(length);
    }

    void serve()
    {
        client_ = ::accept4(port_.socket(), nullptr, nullptr, SOCK_CLOEXEC);
        for (const auto& answer : answers_) {
            if (!take_packet())
                return;
            static_cast<void>(::write(client_, answer.data(), answer.size()));
            ++answered_;
        }
    }

    LoopbackPort port_;
    std::vector<std::string> answers_;
    int client_ = -1;
    std::atomic<std::size_t> answered_ = 0;
    std::thread thread_;
};

// Its thread wakes no loop.
inline void run_until_answered(World& world, Program& program, const ScriptedBroker& scripted,
                               std::size_t packets)
{
    const auto limit = steady_clock::now() + seconds(60);
    while (!scripted.answered(packets)) {
        BOOST_REQUIRE_MESSAGE(steady_clock::now() < limit, "waited for a minute in vain");
        world.run_for({&program}, milliseconds(20));
    }
}

inline std::string bytes(std::initializer_list<int> values)
{
    std::string text;
    for (const int value : values)
        text += static_cast<char>(value);
    return text;
}

inline const auto connack_5 = bytes({0x20, 3, 0, 0, 0});
inline const auto connack_3 = bytes({0x20, 2, 0, 0});

// The first reason that a program gets from a broker that answers so.
inline std::string first_reason(MqttVersion version, const std::vector<std::string>& answers)
{
    ScriptedBroker scripted(answers);
    World world;
    Program program(world.loop, scripted.settings(version));
    program.bus.subscribe("some/topic");
    world.run_until({&program}, [&] { return !program.reasons.empty(); });
    BOOST_TEST(program.connects == 0);
    const auto url = scripted.settings(version).url.text() + ": ";
    BOOST_TEST(program.reasons[0].starts_with(url));
    return program.reasons[0].substr(url.size());
}

} // namespace pulsemeter
