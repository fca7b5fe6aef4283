// Pure: the meter's total on the classic wire. It only grows, and begins at the largest of what the disk, the retained
// reading and the server say, for there the total is all that a pair of programs has. Pulses that a register without a
// disk has counted so far come on top of that. Readings are numbered here for people's sake: the wire has no numbers,
// and a total that is sent again is the same reading.
#pragma once

#include "meter-pi/energy_register.hpp"

namespace pulsemeter {

class ClassicRegister {
public:
    // Half of the integers: no total that someone else has said makes ours overflow.
    static constexpr Pulses most_believed{largest_integer / 2};

    explicit ClassicRegister(const StoredRegister& stored) : stored_(stored), now_(stored) {}

    // The tally since the program's start; may not fall (ENSURE).
    void count(std::uint64_t pulses, const Quality& quality);

    // Never goes below `heard`, at most most_believed, from now on. May be said again; a smaller one changes nothing.
    void go_on_from(Pulses heard);

    [[nodiscard]] const StoredRegister& now() const { return now_; }
    // What is to be on disk: the total as a reading, a new one if the last one was sent and the total is new. Before
    // anyone said what to go on from, and there was no reading yet, the total alone: it is to come on top of what will
    // be heard.
    [[nodiscard]] StoredRegister to_save() const;
    void taken(const StoredRegister& saved); // that one is on disk
    void sent() { last_was_sent_ = true; }   // the reading that was taken last

private:
    void add_up();

    StoredRegister stored_; // as the program found it; epoch 0: no classic reading was ever made of it
    StoredRegister now_;
    bool has_begun_ = stored_.epoch.value != 0;
    bool last_was_sent_ = true; // as far as is known
    Pulses heard_;
    std::uint64_t counted_ = 0;
    Quality counted_quality_;
};

} // namespace pulsemeter
