// What makes a ledger's past provable. Each meter's rows of a day (UTC, by the server's time of receipt) get one
// HMAC-SHA-256 when that day is over: the day's seal, with a key that the keystore holds. Rows of a day that was sealed
// before they came (a held reading that was accepted later, a clock that was set back) get an amendment, a seal of
// their own. Seals are numbered from 1 over all meters, and each contains the one before it, of its meter and of all,
// so that the newest one, the head, stands for all that was ever sealed.
//
//   rows of a seal, in the order of (epoch, sequence):  chain = HMAC(key, "R" chain row), from 32 zeros
//   seal = HMAC(key, "S" number kind day rows meter previous-of-meter previous-of-all chain)
//
// All integers are big-endian. Besides its HMAC a seal keeps two bytes of each row's chain, the mark: they prove
// nothing, but tell which row is the first that is not as it was. Not protected: the rows of the day that is not over (a
// checksum tells damage there, but nobody who means it), how a reading was delivered (live or retained: it says when a meter is stale, and nothing of what was used), held
// readings and events, and what has no seal after it: note the head elsewhere (verify --expect). Pure.
#pragma once

#include "server/ledger_reading.hpp"
#include "shared/crypto/secret.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

using AuditKey = crypto::SecretBytes<32>;
using AuditMac = std::array<std::uint8_t, 32>;

enum class SealKind : std::uint8_t { day = 1, amendment = 2 };

// The newest seal: "12-3f…" with 64 hexadecimal digits.
struct AuditHead {
    std::uint64_t number = 0;
    AuditMac mac{};
    bool operator==(const AuditHead&) const = default;
};
[[nodiscard]] std::string text(const AuditHead& head);
[[nodiscard]] std::optional<AuditHead> parse_head(std::string_view text);

// Over which the HMACs go.
[[nodiscard]] std::vector<std::uint8_t> chain_bytes(const AuditMac& chain, const LedgerReading& row);

// CRC-32, of what no seal holds yet.
[[nodiscard]] std::uint32_t checksum(std::span<const std::uint8_t> bytes);

struct SealFacts {
    std::uint64_t number = 0; // 1 …
    SealKind kind = SealKind::day;
    std::int64_t day = 0; // since 1970; of an amendment: the last one that was sealed before it
    std::uint64_t rows = 0;
    MeterId meter;
    AuditMac previous_of_meter{};
    AuditMac previous_of_all{};
    AuditMac chain{};
};
[[nodiscard]] std::vector<std::uint8_t> seal_bytes(const SealFacts& facts);

using Mark = std::array<std::uint8_t, 2>;
[[nodiscard]] inline Mark mark_of(const AuditMac& chain)
{
    return {chain[0], chain[1]};
}

// What verify found: what is sealed and the newest seals, or the first thing that is wrong.
struct MeterAudit {
    MeterId meter;
    std::uint64_t sealed_rows = 0;
    std::uint64_t open_rows = 0; // of a day that is not over, or late and not amended yet
    std::optional<AuditHead> head;
};
struct LedgerAudit {
    std::vector<MeterAudit> meters;
    std::optional<AuditHead> head;    // of all
    std::optional<std::string> fault; // names the row or the seal, for people
};

} // namespace pulsemeter
