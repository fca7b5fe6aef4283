// What sealing and opening a token takes, by Google Benchmark: the 64 bytes that fernet.py gives to Python's `cryptography`
// beside it, and the 127 of a reading. Each seal draws an IV of its own, as both do in earnest.
#include "shared/crypto/fernet.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <vector>

namespace {

using pulsemeter::crypto::Fernet;

Fernet fernet()
{
    std::array<std::uint8_t, 32> key{};
    key.fill(7);
    return Fernet(pulsemeter::crypto::FernetKey(key));
}

std::vector<std::uint8_t> plaintext(const benchmark::State& state)
{
    return std::vector<std::uint8_t>(static_cast<std::size_t>(state.range(0)), 0x5a);
}

void seal(benchmark::State& state)
{
    Fernet sealing = fernet();
    const auto plain = plaintext(state);
    for ([[maybe_unused]] auto each : state) {
        auto token = sealing.seal(plain, 1'700'000'000, pulsemeter::crypto::random_iv());
        benchmark::DoNotOptimize(token);
    }
}

void open(benchmark::State& state)
{
    Fernet opening = fernet();
    const auto token = opening.seal(plaintext(state), 1'700'000'000, pulsemeter::crypto::random_iv());
    for ([[maybe_unused]] auto each : state) {
        auto opened = opening.open(token);
        benchmark::DoNotOptimize(opened);
    }
}

BENCHMARK(seal)->Arg(64)->Arg(127);
BENCHMARK(open)->Arg(64)->Arg(127);

} // namespace

BENCHMARK_MAIN();
