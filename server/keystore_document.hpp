// The keystore's file, taken apart and put together; the keys in it stay sealed.
#pragma once

#include "server/crypto/sealed_box.hpp"
#include "server/keystore.hpp"
#include "shared/errors.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pulsemeter {

struct KeystoreDocument {
    crypto::ScryptParameters parameters;
    crypto::Salt salt{};
    std::vector<MeterEntry> meters;
    crypto::SealedBox box; // one key for each of `meters`
    std::optional<crypto::SealedBox> audit;
};

// Throws UsageError that names the file: there is none, others may read it, it is damaged or of another version.
[[nodiscard]] KeystoreDocument read_keystore(const std::filesystem::path& path);
[[nodiscard]] std::string keystore_text(const KeystoreDocument& document);

// What the seals of the two boxes cover besides: of the keys, all the rest of the file.
[[nodiscard]] std::vector<std::uint8_t> associated_data(const KeystoreDocument& document);
[[nodiscard]] std::vector<std::uint8_t> audit_associated_data();

[[nodiscard]] UsageError keystore_trouble(const std::filesystem::path& path, std::string_view what);

} // namespace pulsemeter
