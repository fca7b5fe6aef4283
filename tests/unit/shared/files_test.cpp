#include "shared/errors.hpp"
#include "shared/files.hpp"
#include "surroundings.hpp"

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

namespace pulsemeter {
namespace {

std::size_t entries(const std::filesystem::path& folder)
{
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

// A process that holds the lock until it is killed.
class Holder {
public:
    explicit Holder(const std::filesystem::path& folder)
    {
        std::array<int, 2> ends{};
        BOOST_REQUIRE(::pipe(ends.data()) == 0);
        pid_ = ::fork();
        BOOST_REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            const FolderLock lock(folder, "meter-pi");
            static_cast<void>(::write(ends[1], "x", 1));
            while (true)
                ::pause();
        }
        char byte = 0;
        BOOST_REQUIRE(::read(ends[0], &byte, 1) == 1);
        ::close(ends[0]);
        ::close(ends[1]);
    }
    void kill()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_;
};

BOOST_AUTO_TEST_SUITE(files)

BOOST_AUTO_TEST_CASE(the_second_process_of_a_folder_is_told_who_the_first_is)
{
    const TemporaryFolder folder;
    Holder holder(folder.path());
    const auto message = message_of<UsageError>([&] { const FolderLock second(folder.path(), "meter-pi"); });
    BOOST_TEST(contains(message, folder.path().string() + " is in use by meter-pi (pid " +
                                     std::to_string(holder.pid()) + ")"),
               message);
    BOOST_TEST(contains(message, "stop that one first"));
    holder.kill();
}

BOOST_AUTO_TEST_CASE(a_killed_holder_leaves_no_lock)
{
    const TemporaryFolder folder;
    Holder holder(folder.path());
    holder.kill();
    BOOST_TEST(contains(content_of(folder.path() / "lock"), std::to_string(holder.pid()))); // stale
    const FolderLock lock(folder.path(), "meter-server");
    BOOST_TEST(content_of(folder.path() / "lock") == std::to_string(::getpid()) + " meter-server\n");
    BOOST_TEST(mode_of(folder.path() / "lock") == 0600U);
}

BOOST_AUTO_TEST_CASE(a_lock_that_was_given_back_can_be_taken_again)
{
    const TemporaryFolder folder;
    {
        const FolderLock lock(folder.path(), "meter-pi");
    }
    BOOST_TEST(content_of(folder.path() / "lock").empty());
    const FolderLock lock(folder.path(), "meter-pi");
}

BOOST_AUTO_TEST_CASE(a_holder_without_a_name_is_another_process)
{
    const TemporaryFolder folder;
    const FolderLock lock(folder.path(), "meter-pi");
    for (const std::string_view content : {"", "junk", "\n \n", "1234"}) {
        write_file(folder.path() / "lock", content, 0600);
        const auto message =
            message_of<UsageError>([&] { const FolderLock second(folder.path(), "meter-pi"); });
        BOOST_TEST(contains(message, "in use by another process"), message);
    }
}

BOOST_AUTO_TEST_CASE(a_lock_in_a_folder_that_is_missing_names_it)
{
    const auto message = message_of<UsageError>([] { const FolderLock lock("/nowhere/at/all", "meter-pi"); });
    BOOST_TEST(contains(message, "/nowhere/at/all/lock: cannot be opened: No such file"), message);
}

BOOST_AUTO_TEST_CASE(a_private_folder_is_made_with_its_parents_for_the_owner_only)
{
    const TemporaryFolder folder;
    const auto made = folder.path() / "a" / "b" / "c";
    make_private_folder(made);
    BOOST_TEST(mode_of(made) == 0700U);
    BOOST_TEST(mode_of(made.parent_path()) == 0700U);
    make_private_folder(made); // there already
    make_private_folder(folder.path() / "d" / "");
    BOOST_TEST(std::filesystem::is_directory(folder.path() / "d"));
}

BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_is_wrong_usage)
{
    const TemporaryFolder folder;
    write_file(folder.path() / "file", "", 0600);
    for (const auto& path : {folder.path() / "file", folder.path() / "file" / "below",
                             std::filesystem::path("/proc/nothing"), std::filesystem::path()}) {
        const auto message = message_of<UsageError>([&] { make_private_folder(path); });
        BOOST_TEST(message.starts_with(path.string() + ": "), path << ": " << message);
    }
}

BOOST_AUTO_TEST_CASE(a_folder_that_exists_and_cannot_be_written_to_is_wrong_usage)
{
    const TemporaryFolder folder;
    BOOST_REQUIRE(::chmod(folder.path().c_str(), 0555) == 0);
    const pid_t child = ::fork(); // root may write anywhere, so it gives that up in a process of its own
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0)
            ::_exit(2);
        const auto message = message_of<UsageError>([&] { make_private_folder(folder.path()); });
        ::_exit(message == folder.path().string() + ": the folder cannot be written to: Permission denied"
                    ? 0
                    : 1);
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
    BOOST_REQUIRE(::chmod(folder.path().c_str(), 0700) == 0);
}

BOOST_AUTO_TEST_CASE(K7_a_secret_that_others_may_read_is_refused_with_the_remedy)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "secret";
    for (const mode_t mode : {0640U, 0604U, 0644U, 0660U, 0602U, 0610U}) {
        write_file(path, "s3cret", mode);
        const auto message = message_of<UsageError>([&] { static_cast<void>(read_secret_file(path)); });
        BOOST_TEST(contains(message, "chmod 600 " + path.string()), message);
        BOOST_TEST(!contains(message, "s3cret"));
        BOOST_TEST(read_file(path) == "s3cret");
    }
    for (const mode_t mode : {0600U, 0400U, 0700U}) {
        write_file(path, "s3cret", mode);
        BOOST_TEST(read_secret_file(path) == "s3cret");
        BOOST_REQUIRE(::chmod(path.c_str(), 0600) == 0);
    }
}

BOOST_AUTO_TEST_CASE(only_a_regular_file_is_read)
{
    const TemporaryFolder folder;
    const auto fifo = folder.path() / "fifo";
    BOOST_REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    for (const auto& path : {folder.path(), fifo, std::filesystem::path("/dev/zero")}) {
        const auto message = message_of<UsageError>([&] { static_cast<void>(read_secret_file(path)); });
        BOOST_TEST(message == path.string() + ": is no regular file; name one");
    }
    const auto missing =
        message_of<UsageError>([&] { static_cast<void>(read_file(folder.path() / "none")); });
    BOOST_TEST(contains(missing, "none: cannot be read: No such file"), missing);
    BOOST_TEST(contains(missing, "put it there, or correct its name"), missing);
}

BOOST_AUTO_TEST_CASE(I1_a_file_larger_than_1_MiB_is_refused)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "large";
    const std::string most(1024 * 1024, '\0');
    write_file(path, most, 0600);
    BOOST_TEST((read_secret_file(path) == most));
    write_file(path, most + "x", 0600);
    BOOST_CHECK_THROW(static_cast<void>(read_secret_file(path)), UsageError);
}

BOOST_AUTO_TEST_CASE(one_line_end_is_taken_off_and_no_more)
{
    for (const char* end : {"", "\n", "\r\n"})
        BOOST_TEST(without_line_end(std::string("a b ") + end) == "a b ");
    BOOST_TEST(without_line_end("a\n\n") == "a\n");
    BOOST_TEST(without_line_end("") == "");
    BOOST_TEST(without_line_end("\n") == "");
}

BOOST_AUTO_TEST_CASE(K7_a_written_secret_is_its_owners_alone)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "secret";
    const mode_t before = ::umask(0);
    write_secret_file(path, "one", Existing::refuse);
    ::umask(before);
    BOOST_TEST(mode_of(path) == 0600U);
    BOOST_TEST(content_of(path) == "one");

    BOOST_REQUIRE(::chmod(path.c_str(), 0644) == 0);
    write_secret_file(path, "two", Existing::replace);
    BOOST_TEST(content_of(path) == "two");
    BOOST_TEST(mode_of(path) == 0600U);
    BOOST_TEST(entries(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(an_existing_file_is_never_overwritten_when_that_was_said)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "secret";
    write_file(path, "first", 0640);
    const auto message = message_of<UsageError>([&] { write_secret_file(path, "second", Existing::refuse); });
    BOOST_TEST(contains(message, path.string() + ": exists already"), message);
    BOOST_TEST(content_of(path) == "first");
    BOOST_TEST(mode_of(path) == 0640U);
    BOOST_TEST(entries(folder.path()) == 1U); // nothing is left beside it

    const auto link = folder.path() / "link";
    std::filesystem::create_symlink(folder.path() / "elsewhere", link);
    BOOST_CHECK_THROW(write_secret_file(link, "second", Existing::refuse), UsageError);
    BOOST_TEST(!std::filesystem::exists(folder.path() / "elsewhere"));
}

BOOST_AUTO_TEST_CASE(of_many_writers_that_refuse_to_overwrite_one_wins)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "secret";
    std::atomic<int> refused = 0;
    std::vector<std::thread> writers;
    for (int writer = 0; writer < 8; ++writer) {
        writers.emplace_back([&, writer] {
            try {
                write_secret_file(path, std::to_string(writer), Existing::refuse);
            } catch (const UsageError&) {
                ++refused;
            }
        });
    }
    for (auto& writer : writers)
        writer.join();
    BOOST_TEST(refused == 7);
    BOOST_TEST(content_of(path).size() == 1U);
    BOOST_TEST(entries(folder.path()) == 1U);
}

BOOST_AUTO_TEST_CASE(a_secret_in_a_folder_that_is_missing_is_wrong_usage)
{
    const auto message =
        message_of<UsageError>([] { write_secret_file("/nowhere/secret", "x", Existing::replace); });
    BOOST_TEST(contains(message, "/nowhere/secret: cannot be written: No such file"), message);
}

BOOST_AUTO_TEST_SUITE_END()

} // namespace
} // namespace pulsemeter
