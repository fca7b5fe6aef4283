// The file that holds the meters' master keys, sealed under the operator's password (scrypt, AES-256-GCM).
// Which meters there are stands in it in the open, so that listing them needs no password; it is the seal's
// associated data, so that who opens the file with the password also knows that nobody changed the list.
//
//   {"format":"pulsemeter keystore","version":1,
//    "scrypt":{"n":131072,"r":8,"p":1,"salt":…},
//    "meters":[{"id":"house","imp_per_kwh":1000,"max_kw":43,"added_at":SECONDS}, …],
//    "nonce":…, "sealed":…,             the keys, 32 bytes each, in the order of the meters; base64url
//    "audit_nonce":…, "audit_sealed":…} the audit key, 32 bytes; made when first asked for, so older files lack it
//
// A meter on the classic wire also has "up_topic" and "down_topic", and a file with such a meter is of version 2; others
// stay as they were, so that older programs go on reading them.
//
// Associated data: the same object without nonces and seals, keys in alphabetical order, no white space; for the audit
// key: the format's name and "audit".
//
// The file is replaced as a whole and durably, mode 0600. Several processes may use it at once: add() and remove() work
// on what the file says by then, under a lock file beside it. One object in one thread at a time.
//
// A file that is missing, damaged or readable by others: UsageError that says what to do. A wrong password,
// or a byte changed by someone without it (the two can't be told apart): AuthenticationFailed.
#pragma once

#include "server/audit.hpp"
#include "server/crypto/password_key.hpp"
#include "shared/classic_codec.hpp"
#include "shared/crypto/meter_keys.hpp"
#include "shared/reading.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

enum class Wire : std::uint8_t { sealed, classic };

struct MeterEntry {
    MeterId id;
    MeterConstant constant;
    std::uint32_t max_kw = 43; // the largest plausible load, at least 1
    std::chrono::sys_seconds added_at{};
    std::optional<ClassicTopics> classic; // nothing: the sealed wire
    auto operator<=>(const MeterEntry&) const = default;
    [[nodiscard]] Wire wire() const { return classic ? Wire::classic : Wire::sealed; }
};

// The one of `meters` that shares a classic topic with `added`, or null.
[[nodiscard]] const MeterEntry* on_the_same_topics(const std::vector<MeterEntry>& meters,
                                                   const MeterEntry& added);

class Keystore {
public:
    // An empty one. An existing file is never replaced. Whether the password is a good one is for the caller
    // to ask (password_rules.hpp).
    [[nodiscard]] static Keystore create(const std::filesystem::path& path, std::string_view password,
                                         const crypto::ScryptParameters& parameters = {});
    [[nodiscard]] static Keystore open(const std::filesystem::path& path, std::string_view password);
    // Without the password, and therefore unverified; in the order in which they were added.
    [[nodiscard]] static std::vector<MeterEntry> list(const std::filesystem::path& path);

    // In the file when it returns. UsageError if the id is there already, or a classic meter with one of its topics.
    void add(const MeterEntry& meter, const crypto::MasterKey& key);

    // Without the meter and its key when it returns. UsageError if there is no such meter.
    void remove(const MeterId& id);

    // Takes in what another process added or removed; false if the file is as it was. Throws, once a change, if the file
    // can't be read or doesn't open any more; this object then stays as it was.
    bool reload_if_changed();

    // With which the ledger's days are sealed; made and in the file when this returns, if there was none.
    [[nodiscard]] AuditKey audit_key();
    [[nodiscard]] std::optional<AuditKey> existing_audit_key() const; // for who must not write

    [[nodiscard]] const std::vector<MeterEntry>& meters() const { return contents_.meters; }
    [[nodiscard]] const crypto::MasterKey& key(const MeterId& id) const; // of one of meters()

private:
    // What tells one version of the file from the next.
    struct Stamp {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::int64_t size = -1; // no file
        std::int64_t changed_s = 0;
        std::int64_t changed_ns = 0;
        bool operator==(const Stamp&) const = default;
    };

    struct Contents {
        std::vector<MeterEntry> meters;
        std::map<MeterId, crypto::MasterKey> keys;
        std::optional<AuditKey> audit;
    };

    Keystore(std::filesystem::path path, std::string_view password,
             const crypto::ScryptParameters& parameters, const crypto::Salt& salt);
    [[nodiscard]] static Stamp stamp_of(const std::filesystem::path& path);
    [[nodiscard]] Contents read() const;
    [[nodiscard]] std::string sealed_text(const Contents& contents) const;
    void write(Contents contents, std::string_view if_too_large); // under the lock

    std::filesystem::path path_;
    crypto::ScryptParameters parameters_;
    crypto::Salt salt_;
    crypto::PasswordKey password_key_;
    Contents contents_;
    Stamp seen_;
};

} // namespace pulsemeter
