// The keystore's file: taken apart, or one UsageError. What is sealed in it is not reached without the password.
#include "server/keystore.hpp"

#include "shared/errors.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace pulsemeter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const std::filesystem::path file = [] {
        std::string name = (std::filesystem::temp_directory_path() / "pulsemeter-fuzz-XXXXXX").string();
        if (::mkstemp(name.data()) < 0)
            std::abort();
        return std::filesystem::path(name);
    }();
    std::ofstream(file, std::ios::trunc) << std::string_view(reinterpret_cast<const char*>(data), size);
    try {
        (void)Keystore::list(file);
    } catch (const UsageError&) {
        // refused
    }
    return 0;
}
