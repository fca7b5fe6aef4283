// Load for the benchmarks: speaks for many meters at once over one bare connection, and counts what is confirmed.
//
//   load ceiling PORT COUNT WINDOW            the broker alone: our own messages back to ourselves
//   load confirmed PORT METERS COUNT WINDOW   readings of all meters in turn, at most WINDOW of them unconfirmed
//   load latency PORT METERS COUNT            one reading at a time, of the first meter
//
// METERS is a file with a line "ID KEY" each. What was measured is one line of JSON. Readings are sealed before the clock
// starts, and every confirmation is opened and its range counted.
#include "shared/reading_codec.hpp"
#include "tests/bench/bench_meters.hpp"
#include "tests/bench/mqtt_socket.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace pulsemeter::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct LoadMeter : BenchMeter {
    std::vector<bool> confirmed; // by sequence
};

std::vector<LoadMeter> load_meters(const std::string& path)
{
    std::vector<LoadMeter> meters;
    for (BenchMeter& meter : read_meters(path))
        meters.push_back({std::move(meter), {}});
    return meters;
}

std::string sealed(LoadMeter& meter, std::uint64_t sequence)
{
    Reading reading;
    reading.epoch = Epoch{1};
    reading.sequence = Sequence{sequence};
    reading.total = Pulses{sequence * 5};
    reading.measured_at = WallTime{std::chrono::seconds(unix_seconds())};
    reading.uptime = Uptime{static_cast<Uptime::rep>(sequence * 1'000)};
    reading.source = Source::simulated;
    const auto token =
        meter.up.seal(encode(meter.id, UpMessage{reading}), unix_seconds(), crypto::random_iv());
    return publish_packet(meter.keys.up_topic, token, static_cast<std::uint16_t>(1 + sequence % 65'000));
}

double seconds_since(Clock::time_point start)
{
    return std::chrono::duration<double>(Clock::now() - start).count();
}

class Confirmed {
public:
    explicit Confirmed(std::vector<LoadMeter>& meters)
    {
        for (LoadMeter& meter : meters)
            by_topic_.emplace(meter.keys.down_topic, &meter);
    }

    [[nodiscard]] std::vector<std::string> topics() const
    {
        std::vector<std::string> all;
        for (const auto& [topic, meter] : by_topic_)
            all.push_back(topic);
        return all;
    }

    void take(std::string_view topic, std::string_view payload)
    {
        LoadMeter& meter = *by_topic_.at(std::string(topic));
        const auto opened = meter.down.open(payload);
        const auto message =
            opened ? decode_down(meter.id, opened->plaintext) : tl::unexpected(CodecError::wrong_size);
        if (!message || !std::holds_alternative<Confirmation>(*message))
            throw std::runtime_error("an answer that is no confirmation");
        ++messages_;
        const auto& range = std::get<Confirmation>(*message);
        for (std::uint64_t at = range.first.value; at <= range.last.value; ++at) {
            if (at >= meter.confirmed.size())
                throw std::runtime_error("a reading is confirmed that was never sent");
            readings_ += meter.confirmed[at] ? 0U : 1U;
            meter.confirmed[at] = true;
        }
    }

    [[nodiscard]] std::uint64_t readings() const { return readings_; }
    [[nodiscard]] std::uint64_t messages() const { return messages_; }

private:
    std::map<std::string, LoadMeter*> by_topic_;
    std::uint64_t readings_ = 0;
    std::uint64_t messages_ = 0;
};

std::string client_id()
{
    return "load-" + std::to_string(::getpid());
}

void ceiling(std::uint16_t port, std::uint64_t count, std::uint64_t window)
{
    MqttSocket publisher(port, client_id() + "-up");
    MqttSocket subscriber(port, client_id() + "-down");
    const std::string topic = "load/ceiling";
    subscriber.subscribe(std::span(&topic, 1));
    const std::string packet = publish_packet(topic, std::string(248, 'x'), 1);
    std::uint64_t sent = 0;
    std::uint64_t back = 0;
    const auto start = Clock::now();
    while (back < count) {
        const std::uint64_t before = sent;
        for (; sent < count && sent - back < window; ++sent)
            publisher.queue(packet);
        if (sent != before)
            publisher.turn([](auto, auto) {}); // its PUBACKs
        subscriber.turn([&back](auto, auto) { ++back; });
    }
    fmt::print("{{\"messages\":{},\"seconds\":{:.6f}}}\n", count, seconds_since(start));
}

void confirmed(std::uint16_t port, const std::string& file, std::uint64_t count, std::uint64_t window)
{
    auto meters = load_meters(file);
    std::vector<std::string> packets;
    packets.reserve(count);
    for (std::uint64_t n = 0; n < count; ++n)
        packets.push_back(sealed(meters[n % meters.size()], 1 + n / meters.size()));
    for (LoadMeter& meter : meters)
        meter.confirmed.assign(2 + count / meters.size(), false);

    Confirmed answers(meters);
    MqttSocket socket(port, client_id());
    socket.subscribe(answers.topics());
    std::uint64_t sent = 0;
    const auto start = Clock::now();
    while (answers.readings() < count) {
        for (; sent < count && sent - answers.readings() < window; ++sent)
            socket.queue(packets[sent]);
        socket.turn(
            [&answers](std::string_view topic, std::string_view payload) { answers.take(topic, payload); });
    }
    fmt::print("{{\"readings\":{},\"confirmations\":{},\"seconds\":{:.6f}}}\n", count, answers.messages(),
               seconds_since(start));
}

void latency(std::uint16_t port, const std::string& file, std::uint64_t count)
{
    auto meters = load_meters(file);
    meters.erase(meters.begin() + 1, meters.end());
    meters[0].confirmed.assign(count + 1, false);
    Confirmed answers(meters);
    MqttSocket socket(port, client_id());
    socket.subscribe(answers.topics());
    std::vector<double> milliseconds;
    for (std::uint64_t sequence = 1; sequence <= count; ++sequence) {
        const std::string packet = sealed(meters[0], sequence);
        const auto start = Clock::now();
        socket.queue(packet);
        while (answers.readings() < sequence) {
            socket.turn([&answers](std::string_view topic, std::string_view payload) {
                answers.take(topic, payload);
            });
        }
        milliseconds.push_back(1'000 * seconds_since(start));
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    fmt::print("{{\"readings\":{},\"p50_ms\":{:.4f},\"p99_ms\":{:.4f}}}\n", count,
               milliseconds[milliseconds.size() / 2], milliseconds[milliseconds.size() * 99 / 100]);
}

int run(const std::vector<std::string>& words)
{
    const auto number = [&words](std::size_t at) { return std::stoull(words.at(at)); };
    const auto port = static_cast<std::uint16_t>(number(1));
    if (words[0] == "ceiling") {
        ceiling(port, number(2), number(3));
    } else if (words[0] == "confirmed") {
        confirmed(port, words.at(2), number(3), number(4));
    } else if (words[0] == "latency") {
        latency(port, words.at(2), number(3));
    } else {
        throw std::runtime_error("ceiling, confirmed or latency is wanted");
    }
    return 0;
}

} // namespace
} // namespace pulsemeter::bench

int main(int argc, char** argv)
{
    try {
        return pulsemeter::bench::run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        fmt::print(stderr, "load: {}\n", error.what());
        return 1;
    }
}
