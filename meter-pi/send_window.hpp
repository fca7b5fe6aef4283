// Pure: how many readings may be on their way at once. Nobody tells a meter how much the way to its server holds, nor
// how many others share it: so it grows while answers come and falls at a loss, as TCP's window does. Doubles
// each round trip up to half of where readings were last lost, from there on grows by one each.
#pragma once

#include <algorithm>
#include <cstddef>

namespace pulsemeter {

class SendWindow {
public:
    static constexpr std::size_t narrowest = 4;
    static constexpr std::size_t first = 16; // of a connection
    static constexpr std::size_t widest = 512;

    [[nodiscard]] std::size_t size() const { return size_; }

    void answered() // one reading, while about as many as may be were on their way
    {
        if (size_ < threshold_) {
            size_ = std::min(size_ + 1, widest);
        } else if (++answered_ >= size_) {
            answered_ = 0;
            size_ = std::min(size_ + 1, widest);
        }
    }
    void lost() // a reading, but not the later ones: a queue on the way is full
    {
        if (size_ > narrowest)
            threshold_ = std::max(size_ / 2, narrowest);
        size_ = std::max(size_ / 2, narrowest);
        answered_ = 0;
    }
    void unanswered() // nothing comes back any more: nobody is there, which says little of the way
    {
        threshold_ = std::max(threshold_, size_);
        size_ = narrowest;
        answered_ = 0;
    }

private:
    std::size_t size_ = first;
    std::size_t threshold_ = widest;
    std::size_t answered_ = 0; // since it grew by one
};

} // namespace pulsemeter
