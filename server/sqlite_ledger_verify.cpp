#include "server/sqlite_ledger_impl.hpp"
#include "shared/crypto/hmac.hpp"

#include <fmt/core.h>
#include <sqlite3.h>

#include <algorithm>
#include <map>

namespace pulsemeter {
namespace {

// The first thing that is wrong; caught by run() only.
struct Fault {
    std::string what;
};

struct Seal {
    std::int64_t meter = 0;
    SealFacts facts;
    std::vector<std::uint8_t> marks;
    AuditMac mac{};
    // What the rows that are there make of it.
    AuditMac chain{};
    std::uint64_t rows = 0;
    std::string last_row = "the beginning";
};

std::string name(const Seal& seal)
{
    return fmt::format("seal {} ({} {})", seal.facts.number,
                       seal.facts.kind == SealKind::day ? "of" : "amending until",
                       row::day_text(seal.facts.day));
}

std::string name(const MeterId& meter, const Reading& reading)
{
    return fmt::format("meter {}, epoch {} reading {}", meter.text(), reading.epoch.value,
                       reading.sequence.value);
}

std::string name(const Reading& reading)
{
    return fmt::format("epoch {} reading {}", reading.epoch.value, reading.sequence.value);
}

class Verification {
public:
    Verification(LedgerFile& file, const std::optional<AuditKey>& key) : file_(file)
    {
        if (key)
            hmac_.emplace(key->bytes());
    }

    LedgerAudit run(const std::optional<AuditHead>& expected)
    {
        LedgerAudit audit;
        try {
            read_seals();
            for (const auto& [meter, id] : meters())
                audit.meters.push_back(verify_meter(meter, id));
            if (const auto change = row::find_change(file_))
                throw Fault{*change};
            verify_seals();
            if (!seals_.empty())
                audit.head = AuditHead{seals_.size(), seals_.back().mac};
            if (expected)
                verify_head(*expected);
        } catch (const Fault& fault) {
            audit.fault = fault.what;
        } catch (const SQLite::Exception& failure) {
            if (failure.getErrorCode() != SQLITE_CORRUPT)
                throw;
            audit.fault = fmt::format("after {} meters in order: {}", audit.meters.size(), failure.what());
        }
        return audit;
    }

private:
    void read_seals()
    {
        const auto query =
            file_.query("SELECT s.number, s.meter, s.kind, s.day, s.row_count, s.marks, s.mac, m.name "
                        "FROM seal s LEFT JOIN meter m ON m.id = s.meter ORDER BY s.number");
        while (query->executeStep()) {
            const std::uint64_t number = seals_.size() + 1;
            if (row::natural(query->getColumn(0)) != number)
                throw Fault{fmt::format("seal {} is missing", number)};
            const auto meter =
                query->getColumn(7).isNull() ? std::nullopt : MeterId::parse(query->getColumn(7).getString());
            const SQLite::Column marks = query->getColumn(5);
            const std::int64_t kind = query->getColumn(2).getInt64();
            if (!meter || kind < 1 || kind > 2)
                throw Fault{fmt::format("seal {} is not as it was written", number)};
            const AuditMac mac = row::mac(query->getColumn(6));
            Seal seal{.meter = query->getColumn(1).getInt64(),
                      .facts = {.number = number, .meter = *meter},
                      .mac = mac};
            seal.facts.kind = static_cast<SealKind>(kind);
            seal.facts.day = query->getColumn(3).getInt64();
            seal.facts.rows = row::natural(query->getColumn(4));
            const auto* bytes = static_cast<const std::uint8_t*>(marks.getBlob());
            seal.marks.assign(bytes, bytes + marks.getBytes());
            if (seal.facts.kind == SealKind::day)
                by_day_[{seal.meter, seal.facts.day}] = number;
            sealed_until_[seal.meter] = std::max(sealed_until_[seal.meter], seal.facts.day);
            seals_.push_back(std::move(seal));
        }
        if (!hmac_ && !seals_.empty())
            throw Fault{"there are seals, but the keystore has no audit key: it is not this ledger's"};
    }

    std::map<MeterId, std::int64_t> meters()
    {
        std::map<MeterId, std::int64_t> found;
        const auto query = file_.query("SELECT name, id FROM meter");
        while (query->executeStep()) {
            const auto meter = MeterId::parse(query->getColumn(0).getString());
            if (!meter)
                throw Fault{"there is a meter whose name is none"};
            found.emplace(*meter, query->getColumn(1).getInt64());
        }
        return found;
    }

    MeterAudit verify_meter(const MeterId& meter, std::int64_t id)
    {
        MeterAudit audit{.meter = meter};
        for (const row::MeterLife& life : row::lives_of(file_, id)) {
            open_days_ = row::open_days_of(file_, life.id);
            verify_life(audit, id, life);
        }
        for (const Seal& seal : seals_) {
            if (seal.meter != id)
                continue;
            if (seal.rows < seal.facts.rows) {
                throw Fault{fmt::format(
                    "meter {}: of the {} rows of {} {} are missing, the first of them after {}", meter.text(),
                    seal.facts.rows, name(seal), seal.facts.rows - seal.rows, seal.last_row)};
            }
            audit.sealed_rows += seal.rows;
            audit.head = AuditHead{seal.facts.number, seal.mac};
        }
        return audit;
    }

    void verify_life(MeterAudit& audit, std::int64_t meter, const row::MeterLife& life)
    {
        const auto rows = file_.query("SELECT r.sequence, r.facts, t.seal, f.pulses FROM reading r "
                                      "LEFT JOIN late t ON t.life = r.life AND t.sequence = r.sequence "
                                      "LEFT JOIN fall f ON f.life = r.life AND f.sequence = r.sequence "
                                      "WHERE r.life = ? ORDER BY r.sequence");
        rows->bind(1, life.id);
        std::optional<Pulses> before;
        bool accepted = false; // a reading of this epoch, by the operator
        std::optional<std::string> fell;
        while (rows->executeStep()) {
            const LedgerReading row = row::reading_from(file_, *rows, life.epoch, life.facts);
            const auto late =
                rows->getColumn(2).isNull() ? std::nullopt : std::optional(row::natural(rows->getColumn(2)));
            verify_seal_of(audit, meter, row, late);
            accepted = accepted || row.standing == Standing::accepted_by_operator;
            if (row.standing == Standing::discarded)
                continue;
            if (row.reading.source != life.facts.source)
                throw Fault{fmt::format("{} is not of its epoch's source", name(audit.meter, row.reading))};
            const std::uint64_t fall =
                before && *before > row.reading.total ? before->value - row.reading.total.value : 0;
            const std::uint64_t noted = rows->getColumn(3).isNull() ? 0 : row::natural(rows->getColumn(3));
            if (fall != noted) {
                throw Fault{fmt::format("{}: the total is {} after {}, and {} pulses are noted as a fall",
                                        name(audit.meter, row.reading), row.reading.total.value,
                                        before.value_or(Pulses{}).value, noted)};
            }
            if (fall > 0 && !fell)
                fell = name(audit.meter, row.reading);
            before = row.reading.total;
        }
        if (fell && !accepted)
            throw Fault{fmt::format("{}: the total falls, and no reading of that epoch was accepted", *fell)};
    }

    // Of which seal the row is, and whether it is what was sealed there.
    void verify_seal_of(MeterAudit& audit, std::int64_t meter, const LedgerReading& row,
                        std::optional<std::uint64_t> late)
    {
        const std::int64_t day = row::day_of(row.received_at);
        std::uint64_t number = late.value_or(0);
        if (!late) {
            const auto found = by_day_.find({meter, day});
            number = found == by_day_.end() ? 0 : found->second;
            const auto until = sealed_until_.find(meter);
            const bool is_open = std::ranges::find(open_days_, day, &row::OpenDay::day) != open_days_.end();
            if (number == 0 && !is_open && until != sealed_until_.end() && day <= until->second) {
                throw Fault{
                    fmt::format("{} is of a day ({}) that no seal holds, before others that are sealed",
                                name(audit.meter, row.reading), row::day_text(day))};
            }
        }
        if (number == 0) {
            ++audit.open_rows;
            return;
        }
        if (number > seals_.size() || seals_[number - 1].meter != meter) {
            throw Fault{
                fmt::format("{} names a seal that is not its meter's", name(audit.meter, row.reading))};
        }
        Seal& seal = seals_[number - 1];
        seal.chain = hmac_->mac(chain_bytes(seal.chain, row));
        const Mark mark = mark_of(seal.chain);
        const std::size_t at = seal.rows * mark.size();
        if (at + mark.size() > seal.marks.size() ||
            !std::equal(mark.begin(), mark.end(), seal.marks.begin() + static_cast<std::ptrdiff_t>(at))) {
            throw Fault{
                fmt::format("{} is not what {} holds after {}: it was changed or added, or one before it was "
                            "removed",
                            name(audit.meter, row.reading), name(seal), seal.last_row)};
        }
        ++seal.rows;
        seal.last_row = name(row.reading);
    }

    void verify_seals()
    {
        std::map<std::int64_t, AuditMac> previous;
        AuditMac previous_of_all{};
        for (Seal& seal : seals_) {
            seal.facts.previous_of_meter = previous[seal.meter];
            seal.facts.previous_of_all = previous_of_all;
            seal.facts.chain = seal.chain;
            if (hmac_->mac(seal_bytes(seal.facts)) != seal.mac) {
                throw Fault{fmt::format("meter {}: {} is not what its rows and the seals before it make",
                                        seal.facts.meter.text(), name(seal))};
            }
            previous[seal.meter] = previous_of_all = seal.mac;
        }
    }

    void verify_head(const AuditHead& expected) const
    {
        if (expected.number > seals_.size()) {
            throw Fault{
                fmt::format("{} is expected, but there are {} seals: the newest were removed, or an older "
                            "ledger was put back",
                            text(expected), seals_.size())};
        }
        if (seals_[expected.number - 1].mac != expected.mac) {
            throw Fault{
                fmt::format("seal {} is another one than the expected {}", expected.number, text(expected))};
        }
    }

    LedgerFile& file_;
    std::optional<crypto::HmacSha256> hmac_;
    std::vector<Seal> seals_;                                               // number 1 first
    std::map<std::pair<std::int64_t, std::int64_t>, std::uint64_t> by_day_; // meter and day
    std::map<std::int64_t, std::int64_t> sealed_until_;                     // by meter
    std::vector<row::OpenDay> open_days_;                                   // of the epoch that is looked at
};

} // namespace

LedgerAudit SqliteLedger::verify(const std::optional<AuditKey>& key, const std::optional<AuditHead>& expected)
{
    return impl_->look([&](LedgerFile& file) { return Verification(file, key).run(expected); });
}

} // namespace pulsemeter
