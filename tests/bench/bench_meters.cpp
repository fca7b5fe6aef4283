#include "tests/bench/bench_meters.hpp"

#include <fmt/core.h>

#include <chrono>
#include <fstream>
#include <stdexcept>

namespace pulsemeter::bench {

std::vector<BenchMeter> read_meters(const std::string& path)
{
    std::ifstream file(path);
    std::vector<BenchMeter> meters;
    std::string id;
    std::string key;
    while (file >> id >> key) {
        const auto meter = MeterId::parse(id);
        const auto master = crypto::MasterKey::parse(key);
        if (!meter || !master)
            throw std::runtime_error(fmt::format("{}: no meter: {}", path, id));
        const auto keys = crypto::derive(*master, *meter);
        meters.push_back({*meter, keys, crypto::Fernet(keys.up), crypto::Fernet(keys.down)});
    }
    if (meters.empty())
        throw std::runtime_error(path + ": no meters");
    return meters;
}

std::uint64_t unix_seconds()
{
    return static_cast<std::uint64_t>(
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())
            .time_since_epoch()
            .count());
}

} // namespace pulsemeter::bench
