#include "shared/shell_command.hpp"

#include <fmt/core.h>

namespace pulsemeter {
std::string shell_word(std::string_view text)
{
    std::string word = "'";
    for (const char character : text)
        word += character == '\'' ? std::string("'\\''") : std::string(1, character);
    return word + "'";
}

namespace {

std::string option(std::string_view name, const std::string& value)
{
    return value.empty() ? "" : fmt::format(" {} {}", name, shell_word(value));
}

std::string tls_options(const TlsFiles& tls)
{
    const bool trusts_the_system = tls.ca_file.empty() && tls.ca_folder.empty();
    return option("--cafile", tls.ca_file.string()) +
           option("--capath", trusts_the_system ? "/etc/ssl/certs" : tls.ca_folder.string()) +
           option("--cert", tls.client_cert.string()) + option("--key", tls.client_key.string());
}

// Everybody on the machine sees the arguments of a program, so the password is none: mosquitto_pub reads it from a file of
// options, which only the user can read. The shell writes it (printf is its own) and removes it; dash would not where a signal
// ends it. And `p` may be a variable that the user's shell exports.
std::string with_password(const std::string& command, const std::string& file)
{
    return fmt::format("(unset p; p=$(cat {}) && d=$(mktemp -d) && trap 'rm -r \"$d\"' EXIT && "
                       "trap 'exit 1' HUP INT TERM && "
                       "printf '%s %s\\n' -P \"$p\" >\"$d/mosquitto_pub\" && XDG_CONFIG_HOME=\"$d\" {})",
                       shell_word(file), command);
}

} // namespace

std::string clearing_command(const BrokerSettings& broker, const std::string& topic)
{
    std::string command = fmt::format("mosquitto_pub -h {} -p {}", broker.url.host, broker.url.port);
    command += option("-u", broker.username);
    if (broker.url.transport == Transport::tls)
        command += tls_options(broker.tls);
    command += fmt::format(" -t {} -r -n", shell_word(topic));
    return broker.password_file.empty() ? command : with_password(command, broker.password_file.string());
}

} // namespace pulsemeter
