// Bytes a reading in the real ledger: readings of several meters, one every 10 s each, appended as the server does, by day
// and sealed; then the closed file's size.
//
//   ledger_size FOLDER METERS READINGS        (in all; FOLDER must be empty). One line of JSON.
#include "server/day_sealer.hpp"
#include "server/sqlite_ledger.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace pulsemeter::bench {
namespace {

const WallTime begin{std::chrono::seconds{1'767'225'600}};

int run(const std::filesystem::path& folder, std::uint64_t meters, std::uint64_t readings)
{
    using namespace std::chrono_literals;
    std::vector<IncomingReading> batch;
    std::mt19937_64 random(7); // NOLINT(cert-msc32-c,cert-msc51-cpp): the same readings each time
    for (std::uint64_t number = 0; number < meters; ++number) {
        Reading reading{.epoch = Epoch{1}, .clock = Clock::synchronised, .source = Source::measured};
        for (auto& byte : reading.boot)
            byte = static_cast<std::uint8_t>(random());
        reading.total = Pulses{random() % 1'000'000};
        reading.measured_at = begin;
        reading.uptime = Uptime{static_cast<Uptime::rep>(random() % 1'000'000'000)};
        batch.push_back({.meter = *MeterId::parse("meter-" + std::to_string(number)), .reading = reading});
    }
    const std::filesystem::path file = folder / "ledger.sqlite";
    std::uint64_t stored = 0;
    {
        SqliteLedger ledger(file, LedgerAccess::create);
        DaySealer sealer(ledger, AuditKey{});
        WallTime wall = begin;
        for (DaySealer::SteadyTime now{1h}; stored < readings; now += 10s, wall += 10s) {
            for (IncomingReading& incoming : batch) {
                Reading& reading = incoming.reading;
                const std::chrono::milliseconds late(random() % 50); // each meter's loop turns when it can
                ++reading.sequence.value;
                reading.total.value += random() % 30;
                reading.uptime += wall + late - reading.measured_at;
                reading.measured_at = wall + late;
                reading.power =
                    Milliwatts{static_cast<decltype(Milliwatts::value)>(100'000 + random() % 8'000'000)};
            }
            stored += ledger.append(batch, wall + 50ms + std::chrono::milliseconds(random() % 200)).size();
            (void)sealer.turn(now, wall);
        }
    } // closed: the log is in the file
    fmt::print("{{\"meters\":{},\"readings\":{},\"bytes\":{},\"bytes_a_reading\":{:.1f}}}\n", meters, stored,
               std::filesystem::file_size(file),
               static_cast<double>(std::filesystem::file_size(file)) / static_cast<double>(stored));
    return 0;
}

} // namespace
} // namespace pulsemeter::bench

int main(int argc, char** argv)
{
    try {
        if (argc != 4)
            throw std::runtime_error("usage: ledger_size FOLDER METERS READINGS");
        return pulsemeter::bench::run(argv[1], std::stoull(argv[2]), std::stoull(argv[3]));
    } catch (const std::exception& error) {
        fmt::print(stderr, "ledger_size: {}\n", error.what());
        return 1;
    }
}
