#include "server/keystore.hpp"

#include "server/crypto/sealed_box.hpp"
#include "server/keystore_document.hpp"
#include "shared/ensure.hpp"
#include "shared/errors.hpp"
#include "shared/files.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace pulsemeter {
namespace {

constexpr std::size_t key_size = 32;
constexpr std::size_t largest_file = std::size_t{1024} * 1024; // no more is read back

// Held while the file is read, changed and written. A file of its own, because the keystore itself is
// replaced.
class WriteLock {
public:
    explicit WriteLock(const std::filesystem::path& path)
        : descriptor_(
              ::open((path.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600))
    {
        if (descriptor_ < 0)
            throw keystore_trouble(path.string() + ".lock", std::generic_category().message(errno));
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

std::optional<crypto::SecretBuffer> unseal(const crypto::PasswordKey& key, const KeystoreDocument& document)
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
    const KeystoreDocument document = read_keystore(path);
    Keystore keystore(path, password, document.parameters, document.salt);
    if (!unseal(keystore.password_key_, document))
        throw AuthenticationFailed("Authentication failed");
    keystore.contents_ = keystore.read();
    keystore.seen_ = stamp;
    return keystore;
}

std::vector<MeterEntry> Keystore::list(const std::filesystem::path& path)
{
    return read_keystore(path).meters;
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
        throw keystore_trouble(
            path_, fmt::format("there is a meter {} already: choose another id", meter.id.text()));
    if (const auto* other = on_the_same_topics(contents.meters, meter)) {
        throw keystore_trouble(path_, fmt::format("meter {} is on one of these topics already: choose others",
                                                  other->id.text()));
    }
    contents.meters.push_back(meter);
    contents.keys.emplace(meter.id, key);
    write(std::move(contents),
          "is full: give further meters to another server, with a data folder of its own");
}

void Keystore::remove(const MeterId& id)
{
    const WriteLock lock(path_);
    Contents contents = read();
    if (std::erase_if(contents.meters, [&id](const MeterEntry& meter) { return meter.id == id; }) == 0)
        throw keystore_trouble(path_, fmt::format("there is no meter {}: nothing is removed", id.text()));
    contents.keys.erase(id);
    write(std::move(contents), "is full"); // it has become smaller
}

void Keystore::write(Contents contents, std::string_view if_too_large)
{
    const std::string content = sealed_text(contents);
    if (content.size() > largest_file)
        throw keystore_trouble(path_, if_too_large);
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
        write(std::move(contents), "is full: it has no room for the audit key");
    } else {
        contents_ = std::move(contents);
    }
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
    KeystoreDocument document = read_keystore(path_);
    if (document.parameters != parameters_ || document.salt != salt_)
        throw keystore_trouble(path_, "was made anew since this program opened it: start the program again");
    const auto keys = unseal(password_key_, document);
    if (!keys)
        throw keystore_trouble(path_, "was changed by someone without the password: put back a backup of it");
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
            throw keystore_trouble(path_,
                                   "was changed by someone without the password: put back a backup of it");
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
    KeystoreDocument document{.parameters = parameters_, .salt = salt_, .meters = contents.meters};
    document.box = crypto::seal_box(password_key_, keys.bytes(), associated_data(document));
    if (contents.audit)
        document.audit = crypto::seal_box(password_key_, contents.audit->bytes(), audit_associated_data());
    return keystore_text(document);
}

} // namespace pulsemeter
