// What the tests of the shared code need around them: a folder of their own, stderr as text, a child process.
#pragma once

#include "tests/unit/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

namespace pulsemeter {

inline std::string content_of(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::filesystem::path& path, std::string_view content, mode_t mode)
{
    std::ofstream(path, std::ios::binary) << content;
    BOOST_REQUIRE(::chmod(path.c_str(), mode) == 0);
}

inline mode_t mode_of(const std::filesystem::path& path)
{
    struct stat status {};
    BOOST_REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

// What `body` writes to stderr.
inline std::string stderr_of(const std::function<void()>& body)
{
    const TemporaryFolder folder;
    const auto path = folder.path() / "stderr";
    std::fflush(stderr);
    const int before = ::dup(STDERR_FILENO);
    const int file = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ::dup2(file, STDERR_FILENO);
    ::close(file);
    body();
    std::fflush(stderr);
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    return content_of(path);
}

// The message of the `Error` that `body` throws; empty if it throws none.
template <typename Error>
std::string message_of(const std::function<void()>& body)
{
    try {
        body();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

inline bool contains(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

} // namespace pulsemeter
