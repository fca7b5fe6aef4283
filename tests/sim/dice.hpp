// The world's chances: the same seed gives the same numbers on every machine.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pulsemeter::sim {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() // splitmix64
    {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        return mixed ^ (mixed >> 31U);
    }
    std::uint64_t between(std::uint64_t least, std::uint64_t most)
    {
        return least + next() % (most - least + 1);
    }
    std::size_t index(std::size_t size) { return static_cast<std::size_t>(next() % size); }
    bool one_in(std::uint64_t sides) { return next() % sides == 0; }

private:
    std::uint64_t state_;
};

} // namespace pulsemeter::sim
