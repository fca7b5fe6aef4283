// P5: what a day of the meter asks of its card, counted below SqliteMeterStore, as it is.
#include "meter-pi/classic_meter.hpp"
#include "meter-pi/meter_settings.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "tests/unit/power/power_test.hpp"

#include <boost/test/unit_test.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace pulsemeter;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t readings_a_day = 24 * 3600 / 10; // at the default interval

StoreChange interval(std::uint64_t sequence)
{
    const StoredRegister now{.source = Source::measured,
                             .epoch = Epoch{3},
                             .last = Sequence{sequence},
                             .total = Pulses{4 * sequence},
                             .numbered = Pulses{4 * sequence}};
    const Reading reading{.epoch = Epoch{3},
                          .sequence = Sequence{sequence},
                          .total = now.total,
                          .measured_at = WallTime{std::chrono::milliseconds{1'700'000'000'000}},
                          .boot = BootId{1, 2, 3},
                          .source = Source::measured};
    return {.register_now = now, .reading = reading, .condition = "sensor ok; connected"};
}

// A broker and a server on the classic wire, who confirms each total after a while: with the same token, for one key
// seals both ways.
class ConfirmingBus : public MessageBus {
public:
    explicit ConfirmingBus(std::chrono::milliseconds takes) : takes_(takes) {}

    void subscribe(const std::string& /*topic*/) override {}
    void unsubscribe(const std::string& /*topic*/) override {}
    bool publish(const std::string& /*topic*/, std::string_view payload, Retain /*retain*/) override
    {
        ++published;
        answer_ = Received{"UNITS1222", std::string(payload), 1, false};
        answer_at_ = now_ + takes_;
        return true;
    }
    std::vector<BusEvent> take() override
    {
        if (!std::exchange(connected_, true))
            return {Connected{}};
        if (!answer_ || now_ < answer_at_)
            return {};
        answer_at_ = SteadyTime::max();
        return {*std::exchange(answer_, std::nullopt)};
    }
    SteadyTime tick(SteadyTime now) override
    {
        now_ = now;
        return answer_at_;
    }
    void close() override {}
    [[nodiscard]] SteadyTime answer_at() const { return answer_at_; } // what wakes the meter's loop

    std::uint64_t published = 0;

private:
    std::chrono::milliseconds takes_;
    SteadyTime now_{};
    SteadyTime answer_at_ = SteadyTime::max();
    std::optional<Received> answer_;
    bool connected_ = false;
};

// As `meter-pi run` reads it from a file that says no more than it must.
MeterSettings classic_settings()
{
    return parse_meter_settings("[meter]\nid = \"hall\"\nkey = \"" + std::string(43, 'A') +
                                    "=\"\nwire = \"classic\"\n[broker]\nurl = \"mqtt://127.0.0.1\"\n",
                                "meter.toml");
}

// The meter's lines of a day are of no interest.
class Quiet {
public:
    Quiet() : before_(::dup(STDOUT_FILENO))
    {
        const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        std::fflush(stdout);
        ::dup2(nowhere, STDOUT_FILENO);
        ::close(nowhere);
    }
    ~Quiet()
    {
        std::fflush(stdout);
        ::dup2(before_, STDOUT_FILENO);
        ::close(before_);
    }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

private:
    int before_;
};

} // namespace

BOOST_AUTO_TEST_SUITE(sync_budget)

// Every reading of the day is stored, and confirmed before the next; the server's answer costs no sync of its own.
BOOST_AUTO_TEST_CASE(P5_a_day_of_readings_takes_at_most_9000_syncs)
{
    LossyDisk& disk = LossyDisk::installed();
    const PowerFolder folder;
    const std::uint64_t before = disk.syncs();
    {
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        for (std::uint64_t sequence = 1; sequence <= readings_a_day; ++sequence) {
            StoreChange change = interval(sequence);
            std::vector<Confirmation> confirmed;
            if (sequence > 1) {
                confirmed.push_back(
                    {.epoch = Epoch{3}, .first = Sequence{sequence - 1}, .last = Sequence{sequence - 1}});
            }
            change.confirmed = confirmed;
            change.confirmation_token = std::string(200, 'x');
            (void)store.commit(change);
        }
    }
    const std::uint64_t syncs = disk.syncs() - before;
    BOOST_TEST_MESSAGE(syncs << " syncs a day");
    BOOST_TEST(syncs >= readings_a_day); // or they were not counted
    BOOST_TEST(syncs <= 9'000U);
}

// 24 simulated hours of the meter's loop at the default interval, five flashes a second. The server answers at once, as
// ours does, or sleeps, as the Python one does.
BOOST_AUTO_TEST_CASE(P5_a_day_on_the_classic_wire_takes_at_most_9000_syncs)
{
    LossyDisk& disk = LossyDisk::installed();
    for (const auto server_takes : {5ms, 3'000ms}) {
        const PowerFolder folder;
        const MeterSettings settings = classic_settings();
        SqliteMeterStore store(folder.path(), StoreAccess::own);
        ConfirmingBus bus(server_takes);
        SteadyTime now{1h};
        const SteadyTime start = now;
        const auto tally = [&] {
            return Tally{.pulses = 5 * static_cast<std::uint64_t>(
                                           std::chrono::floor<std::chrono::seconds>(now - start).count())};
        };
        ClassicMeter meter(
            settings.id, crypto::FernetKey(settings.key.bytes()), *settings.classic, "", settings.interval,
            {.source = Source::measured},
            {.tally = tally, .facts = [] { return ReadingFacts{}; }, .store = store, .bus = bus}, 1);
        const std::uint64_t before = disk.syncs();
        std::uint64_t pulses_at_risk = 0;
        for (const Quiet quiet; now < start + 24h;) {
            const SteadyTime due = meter.turn(now); // it may publish
            now = std::max(now + 1ms, std::min(due, bus.answer_at()));
            const auto stored = store.load(Source::measured);
            pulses_at_risk = std::max(pulses_at_risk, tally().pulses - (stored ? stored->total.value : 0));
        }
        const std::uint64_t syncs = disk.syncs() - before;
        BOOST_TEST_MESSAGE(syncs << " syncs a day, " << bus.published << " totals published, "
                                 << pulses_at_risk << " pulses at risk");
        BOOST_TEST(syncs >= readings_a_day - 100); // or they were not counted
        BOOST_TEST(syncs <= 9'000U);
        BOOST_TEST(bus.published > 6'000U);
        BOOST_TEST(pulses_at_risk <=
                   55U); // those of 10 s, and of the second in which a reading is worth waiting for
    }
}

BOOST_AUTO_TEST_SUITE_END()
