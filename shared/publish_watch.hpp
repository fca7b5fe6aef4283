// The publishes of one connection that are on their way, and since when: to notice those that will never be acknowledged.
// One thread begins them, another one may end them. Without I/O, and it knows no clock: the caller does.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>

namespace pulsemeter {

class PublishWatch {
public:
    using SteadyTime = std::chrono::steady_clock::time_point;
    static constexpr int most = 256; // with 512 or 128 the server confirms fewer readings a second
    // Longer than the keep-alive needs to notice that nobody is there any more, and which says so.
    static constexpr std::chrono::seconds acknowledged_within{45};
    static constexpr std::chrono::minutes lost_after{5};

    using Place = std::atomic<SteadyTime::rep>; // of one publish

    // While less than `most` are on their way.
    [[nodiscard]] Place& begin(SteadyTime now);
    // It is on its way; or it could not even be handed over.
    void taken() { refused_since_ = SteadyTime::max(); }
    void refused(Place& place, SteadyTime now);
    // How many are left.
    int end(Place& place, SteadyTime now);

    [[nodiscard]] int outstanding() const { return outstanding_; }
    [[nodiscard]] bool idle() const { return outstanding_ == 0 && refused_since_ == SteadyTime::max(); }
    // From when on the connection is to be given up: none was acknowledged for so long, or none was taken, or one is so old
    // that it was lost from among others. max(): none is on its way.
    [[nodiscard]] SteadyTime stuck_from() const;

private:
    static constexpr SteadyTime::rep free = 0; // a moment that no clock shows any more

    std::atomic<int> outstanding_ = 0;
    std::array<Place, most> began_{};
    std::size_t next_ = 0;
    std::atomic<SteadyTime::rep> last_ended_ = free;
    SteadyTime refused_since_ = SteadyTime::max(); // without one that was taken
};

} // namespace pulsemeter
