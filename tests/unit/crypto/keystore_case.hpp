// What the tests of the keystore stand on: a folder for one, entries, and a file changed behind its back.
#pragma once

#include "server/keystore.hpp"
#include "shared/errors.hpp"
#include "shared/files.hpp"

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

namespace pulsemeter::test {

namespace fs = std::filesystem;

// So that a test does not wait; what the default costs is seen in the test that names A2.
inline constexpr crypto::ScryptParameters cheap = {.n = 1024, .r = 8, .p = 1};
inline const std::string password = "correct horse";

class Folder {
public:
    Folder() : path_((fs::temp_directory_path() / "keystore_test.XXXXXX").string())
    {
        BOOST_TEST_REQUIRE(::mkdtemp(path_.data()) != nullptr);
    }
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] fs::path keystore() const { return fs::path(path_) / "keystore.json"; }

private:
    std::string path_;
};

inline MeterEntry entry(const std::string& id)
{
    const auto parsed = MeterId::parse(id);
    BOOST_TEST_REQUIRE(parsed.has_value());
    return {.id = *parsed,
            .constant = {.imp_per_kwh = 10000},
            .max_kw = 16,
            .added_at = std::chrono::sys_seconds(std::chrono::seconds(1663442848))};
}

inline MeterEntry classic_entry(const std::string& id)
{
    MeterEntry classic = entry(id);
    classic.classic = ClassicTopics{};
    return classic;
}

inline std::string content(const fs::path& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void change(const fs::path& path, const std::function<void(nlohmann::json&)>& how)
{
    auto document = nlohmann::json::parse(content(path));
    how(document);
    write_secret_file(path, document.dump(1), Existing::replace);
}

// The kind of error, or "" for none.
inline std::string error_of(const std::function<void()>& action)
{
    try {
        action();
        return "";
    } catch (const UsageError& error) {
        return std::string("usage: ") + error.what();
    } catch (const AuthenticationFailed& error) {
        return std::string("authentication: ") + error.what();
    }
}

inline std::string error_of_open(const fs::path& path)
{
    return error_of([&] { (void)Keystore::open(path, password); });
}

inline bool is_usage_error(const std::string& error, const fs::path& path, const std::string& part)
{
    BOOST_TEST_MESSAGE(error);
    return error.starts_with("usage: " + path.string()) && error.find(part) != std::string::npos;
}

} // namespace pulsemeter::test
