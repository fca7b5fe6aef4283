#include "server/meter_file.hpp"

#include <fmt/core.h>

namespace pulsemeter {

namespace {

// A TOML basic string.
std::string quoted(std::string_view text)
{
    std::string result = "\"";
    for (const char character : text) {
        if (character == '"' || character == '\\') {
            result += {'\\', character};
        } else if (static_cast<unsigned char>(character) < ' ' || character == '\x7f') {
            result += fmt::format("\\u{:04x}", static_cast<unsigned>(character));
        } else {
            result += character;
        }
    }
    return result + '"';
}

// What is not set is there as an example.
std::string line(std::string_view key, const std::string& value, std::string_view example,
                 std::string_view comment)
{
    const std::string setting =
        fmt::format("{}{} = {}", value.empty() ? "#" : "", key, quoted(value.empty() ? example : value));
    return fmt::format("{:<27} # {}\n", setting, comment);
}

std::string login_and_tls(const BrokerSettings& broker)
{
    const TlsFiles& tls = broker.tls;
    return line("username", broker.username, "hall", "for a broker that wants to know who comes") +
           line("password_file", broker.password_file.string(), "mqtt-password",
                "mode 0600, beside this file; packaged: \"broker/mqtt-password\", see man meter-pi") +
           line("ca_file", tls.ca_file.string(), "ca.pem",
                "for mqtts://, whom to trust; default: the system's list") +
           line("ca_folder", tls.ca_folder.string(), "/etc/ssl/certs", "or a folder of such") +
           line("client_cert", tls.client_cert.string(), "hall.pem",
                "for a broker that wants a certificate") +
           line("client_key", tls.client_key.string(), "hall.key", "mode 0600");
}

} // namespace

// The ids, keys, topics and URLs in here hold no character that TOML would want escaped: their parsers saw to that.
std::string text(const MeterFile& file)
{
    const std::string wire =
        file.classic
            ? fmt::format("wire = \"classic\"            # the Python programs' wire; a unit is a flash\n"
                          "up_topic = \"{}\"\ndown_topic = \"{}\"\n",
                          file.classic->up, file.classic->down)
            : "";
    return fmt::format(
        R"(# Meter "{id}". Copy this file to the Pi and start there: meter-pi run --config FILE
# It holds the meter's key: whoever has it can speak for this meter. Keep it readable by you only (chmod 600).

[meter]
id = "{id}"
key = "{key}"
{wire}imp_per_kwh = {constant:<13} # as printed on the meter: 1000 imp/kWh means one flash a Wh
max_kw = {max_kw:<18} # the largest load; flashes that come faster are noise
interval_s = {interval:<14} # seconds {interval_is}

[broker]
url = "{url}"
mqtt_version = {version:<12} # "5" or "3.1.1"
{login_and_tls}
[gpio]
line = "GPIO17"             # header pin 11; or instead: chip = "pinctrl-bcm2711" and offset = 17
pull = "up"                 # up, down or none
active = "low"              # low or high: the line's level while the LED is lit
filter = "own"              # own: by width and spacing of flashes; kernel: for pulses of 20 ms and more (S0); none

[simulation]                # {simulation_is}
model = "uniform"           # uniform: 0 to 9 flashes at random; household: the load of a day
)",
        fmt::arg("id", file.id.text()), fmt::arg("key", file.key), fmt::arg("wire", wire),
        fmt::arg("constant", file.constant.imp_per_kwh), fmt::arg("max_kw", file.max_kw),
        fmt::arg("interval", file.interval.count()),
        fmt::arg("interval_is",
                 file.classic ? "from a confirmation to the next reading" : "between two readings"),
        fmt::arg("simulation_is",
                 file.classic ? "with --source simulate only: the pair's total keeps such units for good"
                              : "used where there is no such line, and only until a sensor was first seen"),
        fmt::arg("url", file.broker.url.text()), fmt::arg("login_and_tls", login_and_tls(file.broker)),
        fmt::arg("version", file.broker.version == MqttVersion::v5 ? "\"5\"" : "\"3.1.1\""));
}

bool is_loopback(const BrokerUrl& url)
{
    return url.host == "localhost" || url.host == "::1" || url.host.starts_with("127.");
}

} // namespace pulsemeter
