#include "server/keystore_document.hpp"

#include "shared/crypto/base64url.hpp"
#include "shared/files.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <set>
#include <system_error>
#include <utility>

namespace pulsemeter {
namespace {

using nlohmann::json;

constexpr const char* format_name = "pulsemeter keystore";
constexpr std::uint64_t sealed_wire_only = 1; // format versions
constexpr std::uint64_t with_classic_wire = 2;
constexpr std::int64_t year_10000 = 253402300800;

std::uint64_t format_version(const std::vector<MeterEntry>& meters)
{
    const bool classic = std::any_of(meters.begin(), meters.end(),
                                     [](const MeterEntry& meter) { return meter.classic.has_value(); });
    return classic ? with_classic_wire : sealed_wire_only;
}

// Everything but the seal. Made from the values, keys in alphabetical order and no white space, so that it is
// the same bytes for sealing and for opening whatever the file's layout.
json public_part(const KeystoreDocument& document)
{
    json meters = json::array();
    for (const MeterEntry& meter : document.meters) {
        json entry{{"id", meter.id.text()},
                   {"imp_per_kwh", meter.constant.imp_per_kwh},
                   {"max_kw", meter.max_kw},
                   {"added_at", meter.added_at.time_since_epoch().count()}};
        if (meter.classic) {
            entry["up_topic"] = meter.classic->up;
            entry["down_topic"] = meter.classic->down;
        }
        meters.push_back(std::move(entry));
    }
    return {{"format", format_name},
            {"version", format_version(document.meters)},
            {"scrypt",
             {{"n", document.parameters.n},
              {"r", document.parameters.r},
              {"p", document.parameters.p},
              {"salt", crypto::encode_base64url(document.salt)}}},
            {"meters", std::move(meters)}};
}

// Takes a document apart; whatever is not as keystore_text() writes it is damage.
class Reader {
public:
    explicit Reader(const std::filesystem::path& path) : path_(path) {}

    [[nodiscard]] KeystoreDocument document(const std::string& content) const
    {
        const json file = json::parse(content, nullptr, false);
        require(file.is_object() && (file.size() == 6 || file.size() == 8) &&
                string(file, "format") == format_name);
        const std::uint64_t version = number(file, "version", std::numeric_limits<std::int64_t>::max());
        if (version != sealed_wire_only && version != with_classic_wire)
            throw keystore_trouble(path_, "was written by another version of meter-server: use that one");
        KeystoreDocument document;
        const json& scrypt = object(file, "scrypt");
        document.parameters.n = number(scrypt, "n", 1U << 30);
        document.parameters.r = small_number(scrypt, "r");
        document.parameters.p = small_number(scrypt, "p");
        require(scrypt.size() == 4 && acceptable(document.parameters));
        bytes(scrypt, "salt", document.salt);

        const auto meters = file.find("meters");
        require(meters != file.end() && meters->is_array());
        std::set<MeterId> ids;
        for (const json& meter : *meters) {
            document.meters.push_back(entry(meter));
            require(ids.insert(document.meters.back().id).second);
        }
        require(version == format_version(document.meters));
        document.box = box(file, "nonce", "sealed");
        if (file.size() == 8)
            document.audit = box(file, "audit_nonce", "audit_sealed");
        return document;
    }

private:
    void require(bool as_written) const
    {
        if (!as_written)
            throw keystore_trouble(path_, "is damaged: put back a backup of it");
    }

    [[nodiscard]] MeterEntry entry(const json& meter) const
    {
        require(meter.is_object() && (meter.size() == 4 || meter.size() == 6));
        const auto id = MeterId::parse(string(meter, "id"));
        require(id.has_value());
        MeterEntry entry{.id = *id};
        entry.constant.imp_per_kwh = small_number(meter, "imp_per_kwh");
        entry.max_kw = small_number(meter, "max_kw");
        require(entry.constant.imp_per_kwh >= 1 && entry.constant.imp_per_kwh <= largest_imp_per_kwh);
        require(entry.max_kw >= 1);
        entry.added_at = std::chrono::sys_seconds(
            std::chrono::seconds(static_cast<std::int64_t>(number(meter, "added_at", year_10000 - 1))));
        if (meter.size() == 6) {
            entry.classic = ClassicTopics{string(meter, "up_topic"), string(meter, "down_topic")};
            require(check_topic(entry.classic->up) && check_topic(entry.classic->down) &&
                    entry.classic->up != entry.classic->down);
        }
        return entry;
    }

    [[nodiscard]] crypto::SealedBox box(const json& file, const char* nonce, const char* sealed) const
    {
        crypto::SealedBox box;
        bytes(file, nonce, box.nonce);
        box.sealed.resize(crypto::base64url_room(string(file, sealed).size()));
        const auto size = crypto::decode_base64url(string(file, sealed), box.sealed);
        require(size.has_value());
        box.sealed.resize(*size);
        return box;
    }

    [[nodiscard]] const json& object(const json& parent, const char* key) const
    {
        const auto found = parent.find(key);
        require(found != parent.end() && found->is_object());
        return *found;
    }

    [[nodiscard]] const std::string& string(const json& parent, const char* key) const
    {
        const auto found = parent.find(key);
        require(found != parent.end() && found->is_string());
        return found->get_ref<const std::string&>();
    }

    [[nodiscard]] std::uint64_t number(const json& parent, const char* key, std::uint64_t most) const
    {
        const auto found = parent.find(key);
        require(found != parent.end() && found->is_number_unsigned() && found->get<std::uint64_t>() <= most);
        return found->get<std::uint64_t>();
    }

    [[nodiscard]] std::uint32_t small_number(const json& parent, const char* key) const
    {
        return static_cast<std::uint32_t>(number(parent, key, std::numeric_limits<std::uint32_t>::max()));
    }

    void bytes(const json& parent, const char* key, std::span<std::uint8_t> out) const
    {
        require(crypto::decode_base64url(string(parent, key), out) == out.size());
    }

    const std::filesystem::path& path_;
};

} // namespace

UsageError keystore_trouble(const std::filesystem::path& path, std::string_view what)
{
    return UsageError(fmt::format("{}: {}", path.string(), what));
}

std::vector<std::uint8_t> associated_data(const KeystoreDocument& document)
{
    const std::string text = public_part(document).dump();
    return {text.begin(), text.end()};
}

std::vector<std::uint8_t> audit_associated_data()
{
    const std::string text = fmt::format("{} audit", format_name);
    return {text.begin(), text.end()};
}

std::string keystore_text(const KeystoreDocument& document)
{
    json file = public_part(document);
    file["nonce"] = crypto::encode_base64url(document.box.nonce);
    file["sealed"] = crypto::encode_base64url(document.box.sealed);
    if (document.audit) {
        file["audit_nonce"] = crypto::encode_base64url(document.audit->nonce);
        file["audit_sealed"] = crypto::encode_base64url(document.audit->sealed);
    }
    return file.dump() + '\n';
}

KeystoreDocument read_keystore(const std::filesystem::path& path)
{
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
        throw keystore_trouble(
            path, "there is no keystore: make one with meter-server init, or name the folder that has "
                  "it with --data");
    }
    return Reader(path).document(read_secret_file(path));
}

} // namespace pulsemeter
