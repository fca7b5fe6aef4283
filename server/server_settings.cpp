#include "server/server_settings.hpp"

#include <fmt/core.h>

namespace pulsemeter {
namespace {

constexpr std::string_view default_price = "0.39";
constexpr std::string_view default_currency = "£";

Tariff read_tariff(ConfigFile::Table table)
{
    const auto price = table.string("price_per_kwh");
    const auto currency = table.string("currency");
    auto tariff = Tariff::parse(price.value_or(std::string(default_price)),
                                currency.value_or(std::string(default_currency)));
    if (!tariff) {
        const bool price_is_bad = tariff.error() == TariffError::bad_price;
        table.refuse(price_is_bad ? "price_per_kwh" : "currency", text(tariff.error()));
    }
    return *std::move(tariff);
}

ServerSettings read(ConfigFile file)
{
    const BrokerSettings broker = read_broker(file.table("broker"));
    Tariff tariff = read_tariff(file.table("tariff"));
    file.finish();
    return {broker, std::move(tariff)};
}

} // namespace

ServerSettings read_server_settings(const std::filesystem::path& path)
{
    return read(ConfigFile::read(path, Secrecy::open));
}

ServerSettings parse_server_settings(std::string_view text, const std::filesystem::path& name)
{
    return read(ConfigFile::parse(text, name));
}

std::string initial_server_settings(const BrokerUrl& broker)
{
    return fmt::format(R"(# meter-server's settings, read when it starts.

[broker]
url = {url:<30} # mqtt://HOST[:PORT], or mqtts:// for TLS; whoever runs it sees sealed messages only
mqtt_version = "5"                   # "5", or "3.1.1" for a broker that knows no other
# A broker that wants to know who comes, or that one wants to know; files are looked for beside this one:
#username = "server"
#password_file = "mqtt-password"     # mode 0600
#ca_file = "ca.pem"                  # whom to trust; or ca_folder = "/etc/ssl/certs"; default: the system's list
#client_cert = "server.pem"
#client_key = "server.key"           # mode 0600

[tariff]
price_per_kwh = "{price}"               # in quotes, so that it is exact
currency = "{currency}"                       # put before amounts
)",
                       fmt::arg("url", '"' + broker.text() + '"'), fmt::arg("price", default_price),
                       fmt::arg("currency", default_currency));
}

} // namespace pulsemeter
