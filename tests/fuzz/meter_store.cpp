// The meter's store as a worn card may have left it: it is used or refused with an error; never a crash.
#include "meter-pi/sqlite_meter_store.hpp"
#include "tests/fuzz/damaged_image.hpp"

using namespace pulsemeter;

namespace {

StoredRegister stored(std::uint64_t last)
{
    return {.source = Source::measured,
            .epoch = Epoch{1},
            .last = Sequence{last},
            .total = Pulses{last * 10},
            .numbered = Pulses{last * 10}};
}

Reading reading(std::uint64_t sequence)
{
    return {.epoch = Epoch{1},
            .sequence = Sequence{sequence},
            .total = Pulses{sequence * 10},
            .measured_at = WallTime{std::chrono::milliseconds{1'700'000'000'123}},
            .uptime = Uptime{5'000},
            .source = Source::measured};
}

void make(const std::filesystem::path& file)
{
    SqliteMeterStore store(file.parent_path(), StoreAccess::own);
    store.claim("hall");
    for (std::uint64_t sequence = 1; sequence <= 12; ++sequence)
        (void)store.commit({.register_now = stored(sequence), .reading = reading(sequence)});
    const Refused refused{Epoch{1}, Sequence{3}, RefusalReason::total_fell};
    (void)store.commit({.register_now = stored(13),
                        .reading = reading(13),
                        .refused = std::span(&refused, 1),
                        .confirmation_token = "gAAAAA"});
}

void use(const std::filesystem::path& folder)
{
    SqliteMeterStore store(folder, StoreAccess::own, 10);
    store.claim("hall");
    (void)store.load(Source::measured);
    (void)store.load(Source::simulated);
    (void)store.confirmation_token();
    (void)store.condition();
    (void)store.outbox({}, 100);
    (void)store.held({}, 100);
    const Confirmation confirmed{Epoch{1}, Sequence{1}, Sequence{4}};
    (void)store.commit(
        {.register_now = stored(14), .reading = reading(14), .confirmed = std::span(&confirmed, 1)});
    (void)store.outbox_size();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const DamagedImage image("meter.sqlite", make);
    FuzzedDataProvider input(data, size);
    image.damage(input);
    try {
        use(image.folder());
    } catch (const std::runtime_error&) {
        // refused
    }
    return 0;
}
