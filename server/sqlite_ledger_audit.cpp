#include "server/sqlite_ledger_impl.hpp"
#include "shared/crypto/hmac.hpp"

#include <algorithm>

namespace pulsemeter {
namespace {

using crypto::HmacSha256;

// The rows that one seal is to hold, as they come in their order.
struct Chain {
    AuditMac mac{};
    std::uint64_t rows = 0;
    std::vector<std::uint8_t> marks;

    void add(HmacSha256& hmac, const LedgerReading& row)
    {
        mac = hmac.mac(chain_bytes(mac, row));
        const Mark mark = mark_of(mac);
        marks.insert(marks.end(), mark.begin(), mark.end());
        ++rows;
    }
};

void chain_day(LedgerFile& file, const MeterId& meter, const row::MeterLife& life, std::int64_t day,
               HmacSha256& hmac, Chain& chain)
{
    for (const row::OpenDay& open : row::open_days_of(file, life.id)) {
        if (open.day != day)
            continue;
        const row::RowSum found =
            row::each_row(file, life, open, [&](const LedgerReading& row) { chain.add(hmac, row); });
        if (found != open.sum)
            throw ChangedRows(row::describe_change(meter, life, open));
    }
    const auto closed = file.query("DELETE FROM open_day WHERE life = ? AND day = ?");
    closed->bind(1, life.id);
    closed->bind(2, day);
    closed->exec();
}

void chain_late(LedgerFile& file, const MeterId& meter, const row::MeterLife& life, std::uint64_t number,
                HmacSha256& hmac, Chain& chain)
{
    const auto changed =
        row::each_late_row(file, life, [&](const LedgerReading& row) { chain.add(hmac, row); });
    if (changed)
        throw ChangedRows(row::describe_change(meter, life, *changed));
    const auto amended = file.query("UPDATE late SET seal = ? WHERE life = ? AND seal = 0");
    amended->bind(1, row::number(number));
    amended->bind(2, life.id);
    amended->exec();
}

struct Newest {
    AuditHead head;
    std::int64_t day = 0;
};

std::optional<Newest> newest(LedgerFile& file, const char* sql, std::optional<std::int64_t> meter)
{
    const auto query = file.query(sql);
    if (meter)
        query->bind(1, *meter);
    if (!query->executeStep())
        return std::nullopt;
    return Newest{{row::natural(query->getColumn(0)), row::mac(query->getColumn(1))},
                  query->getColumn(2).getInt64()};
}

std::optional<Newest> newest_of_all(LedgerFile& file)
{
    return newest(file, "SELECT number, mac, day FROM seal ORDER BY number DESC LIMIT 1", std::nullopt);
}

std::optional<MeterId> name_of(LedgerFile& file, std::int64_t meter)
{
    const auto query = file.query("SELECT name FROM meter WHERE id = ?");
    query->bind(1, meter);
    return query->executeStep() ? MeterId::parse(query->getColumn(0).getString()) : std::nullopt;
}

void insert_seal(LedgerFile& file, std::int64_t meter, const SealFacts& facts, const Chain& chain,
                 const AuditMac& mac)
{
    const auto query = file.query("INSERT INTO seal (number, meter, kind, day, row_count, marks, mac) "
                                  "VALUES (?, ?, ?, ?, ?, ?, ?)");
    query->bind(1, row::number(facts.number));
    query->bind(2, meter);
    query->bind(3, static_cast<int>(facts.kind));
    query->bind(4, facts.day);
    query->bind(5, row::number(facts.rows));
    query->bind(6, chain.marks.data(), static_cast<int>(chain.marks.size()));
    query->bind(7, mac.data(), static_cast<int>(mac.size()));
    query->exec();
}

} // namespace

std::vector<SqliteLedger::Unsealed> SqliteLedger::unsealed(WallTime now)
{
    return impl_->look([&](LedgerFile& file) {
        std::vector<Unsealed> found;
        const auto days =
            file.query("SELECT DISTINCT l.meter, d.day FROM open_day d JOIN life l ON l.id = d.life "
                       "WHERE d.day < ? ORDER BY d.day, l.meter");
        days->bind(1, row::day_of(now));
        while (days->executeStep())
            found.push_back({days->getColumn(0).getInt64(), days->getColumn(1).getInt64()});
        const auto late = file.query("SELECT DISTINCT l.meter FROM late t JOIN life l ON l.id = t.life "
                                     "WHERE t.seal = 0 ORDER BY l.meter");
        while (late->executeStep())
            found.push_back({late->getColumn(0).getInt64(), std::nullopt});
        return found;
    });
}

void SqliteLedger::seal(const Unsealed& what, const AuditKey& key)
{
    impl_->write([&](LedgerFile& file) {
        const auto meter = name_of(file, what.meter);
        if (!meter)
            throw ChangedRows("there is an epoch of no meter");
        const auto all = newest_of_all(file);
        const auto own =
            newest(file, "SELECT number, mac, day FROM seal WHERE meter = ? ORDER BY number DESC LIMIT 1",
                   what.meter);
        SealFacts facts{.meter = *meter};
        facts.number = all ? all->head.number + 1 : 1;
        facts.kind = what.day ? SealKind::day : SealKind::amendment;
        facts.day = what.day.value_or(std::max<std::int64_t>(row::sealed_until(file, what.meter), 0));
        facts.previous_of_all = all ? all->head.mac : AuditMac{};
        facts.previous_of_meter = own ? own->head.mac : AuditMac{};

        HmacSha256 hmac(key.bytes());
        Chain chain;
        for (const row::MeterLife& life : row::lives_of(file, what.meter)) {
            if (what.day) {
                chain_day(file, *meter, life, *what.day, hmac, chain);
            } else {
                chain_late(file, *meter, life, facts.number, hmac, chain);
            }
        }
        facts.rows = chain.rows;
        facts.chain = chain.mac;
        if (chain.rows > 0)
            insert_seal(file, what.meter, facts, chain, hmac.mac(seal_bytes(facts)));
        return true;
    });
}

std::optional<AuditHead> SqliteLedger::head()
{
    return impl_->look([](LedgerFile& file) -> std::optional<AuditHead> {
        const auto found = newest_of_all(file);
        return found ? std::optional(found->head) : std::nullopt;
    });
}

} // namespace pulsemeter
