// Sees everything that happens in the world, believes nobody, and throws Violation as soon as something must not be:
// what was really counted, what each disk was given, what was published, what the ledger took, what was confirmed.
// Violation is no std::exception, so that no program under test can take it for a failing disk.
#pragma once

#include "meter-pi/meter_store.hpp"
#include "server/sqlite_ledger.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace pulsemeter::sim {

struct Violation {
    std::string what;
};

class Witness {
public:
    // The meter's side.
    void pulses(const MeterId& meter, Source source, std::uint64_t count);
    void program_started(const MeterId& meter, Source source);
    struct Found {
        std::vector<Reading> rows; // held ones too
        std::optional<StoredRegister> measured;
        std::optional<StoredRegister> simulated;
        std::size_t outbox_limit = 0;
    };
    void store_opened(const MeterId& meter, const Found& found); // after a start
    void will_commit(const MeterId& meter, const StoreChange& change);
    void committed(const MeterId& meter, const StoreChange& change);
    void check_outbox(const MeterId& meter, std::size_t thinned, MeterStore& store);
    void commit_failed(const MeterId& meter, const StoreChange& change);
    void rows_read(const MeterId& meter, std::span<const Reading> rows) const;
    void published(const MeterId& meter, const Reading& reading);
    void image_put_back(const MeterId& meter);                            // the disk is an old one now
    void store_lost(const MeterId& meter);                                // it is an empty one
    void said_out_of_order(const MeterId& meter, const Reading& reading); // under its key, past its register

    // The server's side.
    void appended(std::span<const IncomingReading> readings, std::span<const Appended> outcomes);
    void append_failed(std::span<const IncomingReading> readings); // they may be found later
    void resolved(const HeldReading& held, Standing standing);     // by the operator
    void perhaps_resolved(const HeldReading& held);                // the disk failed meanwhile
    void told(const MeterId& meter, const DownMessage& message);
    void ledger_opened(SqliteLedger& ledger); // after a start: nothing that was committed is missing
    void ledger_put_back();                   // its disk is an old one now
    void check_totals(SqliteLedger& ledger) const;
    void check_nothing_is_lost(
        SqliteLedger& ledger) const; // of meters to which no harm was done but by the network

    [[nodiscard]] std::uint64_t moment() const
    {
        return moment_;
    } // another one as soon as the ledger may have changed

    // Has each register on its disk been greeted? One that was not has no number by which the server could tell that it
    // is an old one: its pulses would be counted again. No image is taken of that.
    [[nodiscard]] bool is_greeted(const MeterId& meter) const;
    // A disk that was an old one, or a reading past the register: numbers may have two contents.
    [[nodiscard]] bool is_rolled_back(const MeterId& meter) const { return of(meter).rolled_back; }
    [[nodiscard]] bool is_counted(const MeterId& meter,
                                  const Reading& reading) const; // in the ledger, as it is
    [[nodiscard]] std::uint64_t readings_made() const;
    [[nodiscard]] std::uint64_t readings_counted() const;

private:
    static constexpr std::size_t most_ranges = 1'024; // confirmations that a meter may keep in mind

    struct Row {
        Reading reading;
        std::uint64_t moment = 0; // when it was taken in
        Standing standing = Standing::admitted;
    };
    using Rows = std::map<ReadingKey, Row>;
    struct Attempt {
        StoreChange change; // without its spans
        std::vector<Confirmation> confirmed;
    };
    struct Truth {
        // By source.
        std::array<std::uint64_t, 3> pulses{};
        std::array<std::uint64_t, 3> highest{}; // total that any disk of this meter was ever given
        std::array<std::optional<StoredRegister>, 3> lasting;

        std::map<ReadingKey, std::vector<Reading>> made; // in whichever life of the disk
        std::set<Reading> durable;
        std::map<ReadingKey, Reading> published; // since the disk was changed
        std::set<ReadingKey> outbox;
        std::vector<Attempt> attempts; // failed since the last commit
        Source source = Source::simulated;
        std::uint64_t started = 0;
        bool rolled_back = false;
        bool disk_changed = false;
        std::set<Reading> said_past; // the register, under the meter's key

        Rows rows;                           // in the ledger
        std::set<Reading> perhaps;           // what an append that failed may have left there
        std::set<ReadingKey> ever_confirmed; // by the server
    };
    [[nodiscard]] Truth& of(const MeterId& meter) { return truths_[meter]; }
    [[nodiscard]] const Truth& of(const MeterId& meter) const { return truths_.at(meter); }
    void check_row(const MeterId& meter, const Reading& reading) const;
    static void check_register(const MeterId& meter, Truth& truth, Source source,
                               const std::optional<StoredRegister>& found);
    [[nodiscard]] static bool makes_total_fall(const Truth& truth, Rows::const_iterator row);
    static void made(Truth& truth, const Reading& reading);
    struct Sums {
        std::uint64_t risen = 0; // within epochs: what is billed
        std::uint64_t grown =
            0; // each epoch's last total above its first, without what was said past the register
    };
    [[nodiscard]] static Sums sums(const Truth& truth, Source source);

    std::map<MeterId, Truth> truths_;
    std::uint64_t moment_ = 0;
    bool ledger_was_put_back_ = false; // and was not opened since
    bool ledger_lacks_something_ = false;
};

} // namespace pulsemeter::sim
