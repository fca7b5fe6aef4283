#include "shared/files.hpp"

#include "shared/errors.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>

namespace pulsemeter {
namespace {

constexpr std::size_t largest_file = std::size_t{1024} * 1024;

std::string reason(int error)
{
    return std::generic_category().message(error);
}

UsageError usage(const std::filesystem::path& path, std::string_view what)
{
    return UsageError(fmt::format("{}: {}", path.string(), what));
}

std::system_error failure(const std::filesystem::path& path, int error, std::string_view what)
{
    return {error, std::generic_category(), fmt::format("{}: {}", path.string(), what)};
}

class Descriptor {
public:
    explicit Descriptor(int value) : value_(value) {}
    ~Descriptor()
    {
        if (value_ >= 0)
            ::close(value_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const { return value_; }
    [[nodiscard]] int release() { return std::exchange(value_, -1); }

private:
    int value_;
};

// nullopt: a read failed, errno says why.
std::optional<std::string> read_up_to(int descriptor, std::size_t most)
{
    std::string content;
    std::array<char, 16384> chunk{};
    while (content.size() < most) {
        const ssize_t got = ::read(descriptor, chunk.data(), std::min(chunk.size(), most - content.size()));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return std::nullopt;
        if (got == 0)
            break;
        content.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return content;
}

bool write_all(int descriptor, std::string_view content)
{
    while (!content.empty()) {
        const ssize_t wrote = ::write(descriptor, content.data(), content.size());
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return false;
        content.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
}

std::filesystem::path folder_of(const std::filesystem::path& path)
{
    return path.has_parent_path() ? path.parent_path() : ".";
}

// "meter-pi (pid 1234)"; the lock counts, its content only helps people and may be empty for a moment.
std::string holder(int descriptor)
{
    const std::string content = read_up_to(descriptor, 100).value_or("");
    const auto space = content.find(' ');
    const auto end = content.find('\n');
    if (space == std::string::npos || end == std::string::npos || end < space)
        return "another process";
    return fmt::format("{} (pid {})", content.substr(space + 1, end - space - 1), content.substr(0, space));
}

std::string why_not_read(int error)
{
    const char* remedy = "";
    if (error == ENOENT || error == ENOTDIR)
        remedy = "; put it there, or correct its name";
    if (error == EACCES)
        remedy = "; run this as the user whose file it is";
    return fmt::format("cannot be read: {}{}", reason(error), remedy);
}

enum class Readers { owner_only, anyone };

bool others_may_read(const struct stat& status)
{
    // systemd hands a credential to a service's user by an ACL on a file of root's, and the ACL's mask shows
    // as the group's permissions; no one but root is in root's group.
    const bool by_acl = status.st_uid == 0 && status.st_gid == 0 && ::geteuid() != 0;
    return (status.st_mode & (by_acl ? 0007U : 0077U)) != 0;
}

// All checks are made on the open descriptor: the file can't be exchanged in between.
std::string read_file(const std::filesystem::path& path, Readers readers)
{
    // O_NONBLOCK: a FIFO is refused below instead of waited for
    const Descriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (descriptor.get() < 0)
        throw usage(path, why_not_read(errno));
    struct stat status {};
    if (::fstat(descriptor.get(), &status) != 0)
        throw failure(path, errno, "cannot be read");
    if (!S_ISREG(status.st_mode))
        throw usage(path, "is no regular file; name one");
    if (readers == Readers::owner_only && others_may_read(status)) {
        throw usage(path, fmt::format("holds a secret, but others than its owner may read it (mode {:04o}): "
                                      "chmod 600 {}",
                                      status.st_mode & 07777U, path.string()));
    }
    auto content = read_up_to(descriptor.get(), largest_file + 1);
    if (!content)
        throw failure(path, errno, "cannot be read");
    if (content->size() > largest_file)
        throw usage(path, "is larger than 1 MiB: this can't be the right file");
    return *std::move(content);
}

// A file beside its target until it is moved there; removed if it never is.
class TemporaryFile {
public:
    explicit TemporaryFile(const std::filesystem::path& target)
        : name_(target.string() + ".XXXXXX"), descriptor_(::mkostemp(name_.data(), O_CLOEXEC))
    {
        if (descriptor_.get() < 0)
            throw usage(target, fmt::format("cannot be written: {}", reason(errno)));
    }
    ~TemporaryFile()
    {
        if (!moved_)
            ::unlink(name_.c_str());
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    void write(std::string_view content)
    {
        if (!write_all(descriptor_.get(), content) || ::fsync(descriptor_.get()) != 0)
            throw failure(name_, errno, "cannot be written");
    }

    void move_to(const std::filesystem::path& target, Existing existing)
    {
        if (existing == Existing::replace) {
            if (::rename(name_.c_str(), target.c_str()) != 0)
                throw failure(target, errno, "cannot be replaced");
            moved_ = true;
        } else if (::link(name_.c_str(), target.c_str()) != 0) { // unlike rename, link never replaces
            if (errno == EEXIST) {
                throw usage(target,
                            "exists already and is not overwritten: name another file, or remove it first");
            }
            throw failure(target, errno, "cannot be written");
        }
    }

private:
    std::string name_;
    Descriptor descriptor_;
    bool moved_ = false;
};

} // namespace

void sync_folder(const std::filesystem::path& folder)
{
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() < 0 || ::fsync(descriptor.get()) != 0)
        throw failure(folder, errno, "the folder could not be written to disk");
}

FolderLock::FolderLock(const std::filesystem::path& folder, std::string_view program) : descriptor_(-1)
{
    const auto path = folder / "lock";
    Descriptor descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (descriptor.get() < 0)
        throw usage(path, fmt::format("cannot be opened: {}", reason(errno)));
    while (::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            throw failure(path, errno, "cannot be locked");
        throw UsageError(
            fmt::format("{} is in use by {}: stop that one first, or use another folder with --state/--data",
                        folder.string(), holder(descriptor.get())));
    }
    // Only for people, so that a full disk is no reason not to run.
    if (::ftruncate(descriptor.get(), 0) == 0)
        static_cast<void>(write_all(descriptor.get(), fmt::format("{} {}\n", ::getpid(), program)));
    descriptor_ = descriptor.release();
}

FolderLock::~FolderLock()
{
    // Else the next holder would be called by our name until it has written its own.
    static_cast<void>(::ftruncate(descriptor_, 0));
    ::close(descriptor_);
}

void make_private_folder(const std::filesystem::path& folder)
{
    std::filesystem::path made;
    for (const auto& part : folder) {
        made /= part;
        std::error_code ignored;
        if (std::filesystem::exists(made, ignored))
            continue;
        if (::mkdir(made.c_str(), 0700) == 0) {
            sync_folder(folder_of(made));
        } else if (errno != EEXIST) {
            throw usage(folder, fmt::format("the folder cannot be made: {}", reason(errno)));
        }
    }
    std::error_code error;
    if (!std::filesystem::is_directory(folder, error))
        throw usage(folder, error ? error.message() : "is no folder");
    if (::faccessat(AT_FDCWD, folder.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        throw usage(folder, fmt::format("the folder cannot be written to: {}", reason(errno)));
}

std::string read_file(const std::filesystem::path& path)
{
    return read_file(path, Readers::anyone);
}

std::string read_secret_file(const std::filesystem::path& path)
{
    return read_file(path, Readers::owner_only);
}

std::string_view without_line_end(std::string_view text)
{
    if (text.ends_with('\n'))
        text.remove_suffix(1);
    if (text.ends_with('\r')) // an editor on Windows
        text.remove_suffix(1);
    return text;
}

void write_secret_file(const std::filesystem::path& path, std::string_view content, Existing existing)
{
    {
        TemporaryFile file(path);
        file.write(content);
        file.move_to(path, existing);
    }
    sync_folder(folder_of(path));
}

} // namespace pulsemeter
