// MeterStore in one SQLite file, DIR/meter.sqlite: WAL, synchronous=FULL, so that a commit survives a power
// cut on a disk that honours syncs. The outbox is bounded: when full, every second one of its older
// intermediate readings is dropped (never the first or the last of an epoch, and none that is held while there are
// others); totals heal, and the next reading says so. A file that is damaged or not ours is refused with a clear
// error, a register too of which a bit has flipped; a damaged reading is dropped with a message. A missing file is a meter
// without a register.
#pragma once

#include "meter-pi/meter_store.hpp"

#include <filesystem>
#include <memory>

namespace pulsemeter {

enum class StoreAccess : std::uint8_t { own, look }; // look: read-only beside a running meter

class SqliteMeterStore : public MeterStore {
public:
    static constexpr std::size_t default_outbox_limit = 100'000; // eleven days at a reading every 10 s

    SqliteMeterStore(const std::filesystem::path& folder, StoreAccess access,
                     std::size_t outbox_limit = default_outbox_limit);
    ~SqliteMeterStore() override;

    // The folder belongs to one meter for good, and to the wire it speaks: UsageError if it is another's. `owner` names
    // both.
    void claim(const std::string& owner);
    [[nodiscard]] std::string owner(); // as it was claimed; empty: nobody's yet

    [[nodiscard]] std::optional<StoredRegister> load(Source source) override;
    [[nodiscard]] Epoch highest_epoch() override;
    [[nodiscard]] std::optional<std::string> confirmation_token() override;
    [[nodiscard]] std::string condition() override;
    [[nodiscard]] std::size_t commit(const StoreChange& change) override;
    [[nodiscard]] std::vector<Reading> outbox(const ReadingKey& after, std::size_t most) override;
    [[nodiscard]] std::vector<Reading> held(const ReadingKey& after, std::size_t most) override;
    [[nodiscard]] std::size_t outbox_size() override;
    [[nodiscard]] std::size_t held_size() override;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pulsemeter
