#include "server/keystore.hpp"

#include "server/crypto/sealed_box.hpp"
#include "shared/crypto/base64url.hpp"
#include "shared/ensure.hpp"
#include "shared/errors.hpp"
#include "shared/files.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

namespace pulsemeter {
namespace {

using nlohmann::json;

constexpr const char* format_name = "pulsemeter keystore";
constexpr std::uint64_t sealed_wire_only = 1; // format versions
constexpr std::uint64_t with_classic_wire = 2;
constexpr std::size_t key_size = 32;
constexpr std::size_t largest_file = std::size_t{1024} * 1024; // no more is read back
constexpr std::int64_t year_10000 = 253402300800;

// The file as it stands, the keys still sealed.
struct Document {
    crypto::ScryptParameters parameters;
    crypto::Salt salt{};
    std::vector<MeterEntry> meters;
    crypto::SealedBox box;
    std::optional<crypto::SealedBox> audit;
};

UsageError usage(const std::filesystem::path& path, std::string_view what)
{
    return UsageError(fmt::format("{}: {}", path.string(), what));
}

std::uint64_t format_version(const std::vector<MeterEntry>& meters)
{
    const bool classic = std::any_of(meters.begin(), meters.end(),
                                     [](const MeterEntry& meter) { return meter.classic.has_value(); });
    return classic ? with_classic_wire : sealed_wire_only;
}

// Everything but the seal. Made from the values, keys in alphabetical order and no white space, so that it is
// the same bytes for sealing and for opening whatever the file's layout.
json public_part(const Document& document)
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

std::vector<std::uint8_t> associated_data(const Document& document)
{
    const std::string text = public_part(document).dump();
    return {text.begin(), text.end()};
}

std::string text(const Document& document)
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

// Takes a document apart; whatever is not as sealed_text() writes it is damage.
class Reader {
public:
    explicit Reader(const std::filesystem::path& path) : path_(path) {}

    [[nodiscard]] Document document(const std::string& content) const
    {
        const json file = json::parse(content, nullptr, false);
        require(file.is_object() && (file.size() == 6 || file.size() == 8) &&
                string(file, "format") == format_name);
        const std::uint64_t version = number(file, "version", std::numeric_limits<std::int64_t>::max());
        if (version != sealed_wire_only && version != with_classic_wire)
            throw usage(path_, "was written by another version of meter-server: use that one");
        Document document;
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
            throw usage(path_, "is damaged: put back a backup of it");
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

Document read_document(const std::filesystem::path& path)
{
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
        throw usage(path,
                    "there is no keystore: make one with meter-server init, or name the folder that has "
                    "it with --data");
    }
    return Reader(path).document(read_secret_file(path));
}

// Held while the file is read, changed and written. A file of its own, because the keystore itself is
// replaced.
class WriteLock {
public:
    explicit WriteLock(const std::filesystem::path& path)
        : descriptor_(
              ::open((path.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600))
    {
        if (descriptor_ < 0)
            throw usage(path.string() + ".lock", std::generic_category().message(errno));
        while (::flock(descriptor_, LOCK_EX) != 0) {
            if (errno == EINTR)
                continue;
            const int error = errno;
            ::close(descriptor_);
            throw std::system_error(error, std::generic_category(),
                                    path.string() + ".lock: cannot be locked");
        }
    }
    ~WriteLock() { ::close(descriptor_); }
    WriteLock(const WriteLock&) = delete;
    WriteLock& operator=(const WriteLock&) = delete;

private:
    int descriptor_;
};

std::vector<std::uint8_t> audit_associated_data()
{
    const std::string text = fmt::format("{} audit", format_name);
    return {text.begin(), text.end()};
}

std::optional<crypto::SecretBuffer> unseal(const crypto::PasswordKey& key, const Document& document)
{
    return crypto::open_box(key, document.box, associated_data(document));
}

} // namespace

Keystore::Keystore(std::filesystem::path path, std::string_view password,
                   const crypto::ScryptParameters& parameters, const crypto::Salt& salt)
    : path_(std::move(path)),
      parameters_(parameters),
      salt_(salt),
      password_key_(crypto::password_key(password, salt, parameters))
{
}

Keystore Keystore::create(const std::filesystem::path& path, std::string_view password,
                          const crypto::ScryptParameters& parameters)
{
    Keystore keystore(path, password, parameters, crypto::random_salt());
    write_secret_file(path, keystore.sealed_text({}), Existing::refuse);
    keystore.seen_ = stamp_of(path);
    return keystore;
}

Keystore Keystore::open(const std::filesystem::path& path, std::string_view password)
{
    const Stamp stamp = stamp_of(path); // before reading: a change in between is seen at the next look
    const Document document = read_document(path);
    Keystore keystore(path, password, document.parameters, document.salt);
    if (!unseal(keystore.password_key_, document))
        throw AuthenticationFailed("Authentication failed");
    keystore.contents_ = keystore.read();
    keystore.seen_ = stamp;
    return keystore;
}

std::vector<MeterEntry> Keystore::list(const std::filesystem::path& path)
{
    return read_document(path).meters;
}

const MeterEntry* on_the_same_topics(const std::vector<MeterEntry>& meters, const MeterEntry& added)
{
    const auto clashes = [&added](const MeterEntry& meter) {
        if (!meter.classic || !added.classic)
            return false;
        const auto has = [&meter](const std::string& topic) {
            return meter.classic->up == topic || meter.classic->down == topic;
        };
        return has(added.classic->up) || has(added.classic->down);
    };
    const auto found = std::find_if(meters.begin(), meters.end(), clashes);
    return found == meters.end() ? nullptr : &*found;
}

void Keystore::add(const MeterEntry& meter, const crypto::MasterKey& key)
{
    const WriteLock lock(path_);
    Contents contents = read();
    if (contents.keys.contains(meter.id))
        throw usage(path_, fmt::format("there is a meter {} already: choose another id", meter.id.text()));
    if (const auto* other = on_the_same_topics(contents.meters, meter)) {
        throw usage(path_, fmt::format("meter {} is on one of these topics already: choose others",
                                       other->id.text()));
    }
    contents.meters.push_back(meter);
    contents.keys.emplace(meter.id, key);
    const std::string content = sealed_text(contents);
    if (content.size() > largest_file)
        throw usage(path_, "is full: give further meters to another server, with a data folder of its own");
    write_secret_file(path_, content, Existing::replace);
    contents_ = std::move(contents);
    seen_ = stamp_of(path_);
}

AuditKey Keystore::audit_key()
{
    const WriteLock lock(path_);
    Contents contents = read();
    if (!contents.audit) {
        contents.audit = AuditKey(crypto::MasterKey::random().bytes());
        const std::string content = sealed_text(contents);
        if (content.size() > largest_file)
            throw usage(path_, "is full: it has no room for the audit key");
        write_secret_file(path_, content, Existing::replace);
        seen_ = stamp_of(path_);
    }
    contents_ = std::move(contents);
    return *contents_.audit;
}

std::optional<AuditKey> Keystore::existing_audit_key() const
{
    return contents_.audit;
}

bool Keystore::reload_if_changed()
{
    const Stamp stamp = stamp_of(path_);
    if (stamp == seen_)
        return false;
    seen_ = stamp;
    contents_ = read();
    return true;
}

const crypto::MasterKey& Keystore::key(const MeterId& id) const
{
    const auto found = contents_.keys.find(id);
    ENSURE(found != contents_.keys.end(), "a key is asked for one of meters()");
    return found->second;
}

Keystore::Stamp Keystore::stamp_of(const std::filesystem::path& path)
{
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0)
        return {};
    return {.device = status.st_dev,
            .inode = status.st_ino,
            .size = status.st_size,
            .changed_s = status.st_ctim.tv_sec,
            .changed_ns = status.st_ctim.tv_nsec};
}

Keystore::Contents Keystore::read() const
{
    Document document = read_document(path_);
    if (document.parameters != parameters_ || document.salt != salt_)
        throw usage(path_, "was made anew since this program opened it: start the program again");
    const auto keys = unseal(password_key_, document);
    if (!keys)
        throw usage(path_, "was changed by someone without the password: put back a backup of it");
    ENSURE(keys->bytes().size() == document.meters.size() * key_size,
           "each meter of a sealed list has a key");
    Contents contents;
    std::span<const std::uint8_t> rest = keys->bytes();
    for (const MeterEntry& meter : document.meters) {
        contents.keys.emplace(meter.id, crypto::MasterKey(rest.first<key_size>()));
        rest = rest.subspan(key_size);
    }
    contents.meters = std::move(document.meters);
    if (document.audit) {
        const auto audit = crypto::open_box(password_key_, *document.audit, audit_associated_data());
        if (!audit || audit->bytes().size() != key_size)
            throw usage(path_, "was changed by someone without the password: put back a backup of it");
        contents.audit = AuditKey(audit->bytes().first<key_size>());
    }
    return contents;
}

std::string Keystore::sealed_text(const Contents& contents) const
{
    crypto::SecretBuffer keys(contents.meters.size() * key_size);
    auto out = keys.bytes().begin();
    for (const MeterEntry& meter : contents.meters) {
        const auto key = contents.keys.at(meter.id).bytes();
        out = std::copy(key.begin(), key.end(), out);
    }
    Document document{.parameters = parameters_, .salt = salt_, .meters = contents.meters};
    document.box = crypto::seal_box(password_key_, keys.bytes(), associated_data(document));
    if (contents.audit)
        document.audit = crypto::seal_box(password_key_, contents.audit->bytes(), audit_associated_data());
    return text(document);
}

} // namespace pulsemeter
