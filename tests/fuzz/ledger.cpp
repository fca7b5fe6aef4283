// The server's ledger as a disk, or someone with access to it, may have left it: every question is answered or refused
// with an error; nothing crashes, hangs or asserts.
#include "server/sqlite_ledger.hpp"
#include "tests/fuzz/damaged_image.hpp"

using namespace pulsemeter;

namespace {

const MeterId meter = *MeterId::parse("hall");
const WallTime noon{std::chrono::milliseconds(1'700'000'000'000)};

Reading sample(std::uint64_t sequence, std::uint64_t total)
{
    Reading reading;
    reading.epoch = Epoch{1};
    reading.sequence = Sequence{sequence};
    reading.total = Pulses{total};
    reading.measured_at = noon + std::chrono::seconds(10 * sequence);
    reading.uptime = std::chrono::seconds(10 * sequence);
    reading.quality.glitches = sequence % 2 == 0 ? 1 : 0;
    return reading;
}

void append(SqliteLedger& ledger, const Reading& reading, WallTime at)
{
    const IncomingReading incoming{meter, reading};
    (void)ledger.append(std::span(&incoming, 1), at);
}

void make(const std::filesystem::path& file)
{
    SqliteLedger ledger(file, LedgerAccess::create);
    for (std::uint64_t sequence = 1; sequence <= 12; ++sequence)
        append(ledger, sample(sequence, 10 * sequence), noon + std::chrono::hours(4 * sequence));
    append(ledger, sample(13, 5), noon);
    (void)ledger.accept({meter, Epoch{1}, Sequence{13}}, noon);
    append(ledger, sample(14, 4), noon);
    append(ledger, sample(15, 3), noon);
    (void)ledger.discard({meter, Epoch{1}, Sequence{15}}, noon);
    for (const auto& what : ledger.unsealed(noon + std::chrono::hours(30)))
        ledger.seal(what, AuditKey{});
    ledger.note_restored(noon);
    append(ledger, sample(20, 50), noon + std::chrono::hours(48));
}

void use(const std::filesystem::path& file)
{
    SqliteLedger ledger(file, LedgerAccess::write);
    (void)ledger.summary(meter);
    ledger.readings(meter, WallTime{}, [](const LedgerReading&) {});
    (void)ledger.held();
    (void)ledger.events(100);
    (void)ledger.state_for(meter, Source::simulated);
    const AdmittedReading admitted{meter, sample(9, 90)};
    (void)ledger.consumption_until(std::span(&admitted, 1));
    (void)ledger.verify(AuditKey{}, AuditHead{1, {}});
    append(ledger, sample(12, 120), noon);
    append(ledger, sample(21, 60), noon + std::chrono::hours(49));
    (void)ledger.accept({meter, Epoch{1}, Sequence{14}}, noon);
    for (const auto& what : ledger.unsealed(noon + std::chrono::hours(96)))
        ledger.seal(what, AuditKey{});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const DamagedImage image("ledger.sqlite", make);
    FuzzedDataProvider input(data, size);
    image.damage(input);
    try {
        use(image.file());
    } catch (const std::runtime_error&) {
        // refused
    }
    return 0;
}
