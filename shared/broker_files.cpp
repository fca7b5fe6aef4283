#include "shared/broker_files.hpp"

#include "shared/crypto/tls_handshake.hpp"
#include "shared/files.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr std::size_t longest_password = 65'535; // what MQTT can carry

} // namespace

void check_broker_files(const BrokerSettings& settings)
{
    (void)read_broker_password(settings);
    if (settings.url.transport == Transport::tls)
        crypto::check_tls_files(settings.tls);
}

std::string read_broker_password(const BrokerSettings& settings)
{
    if (settings.password_file.empty())
        return "";
    try {
        std::string password = read_secret_file(settings.password_file);
        password.resize(without_line_end(password).size());
        if (password.empty()) {
            throw UsageError(fmt::format("{}: is empty: write the broker's password into it",
                                         settings.password_file.string()));
        }
        if (password.size() > longest_password)
            throw UsageError(fmt::format("{}: is too long for a password", settings.password_file.string()));
        return password;
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("password_file in [broker]: {}", error.what()));
    }
}

} // namespace pulsemeter
