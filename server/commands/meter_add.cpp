#include "server/admission.hpp"
#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/meter_file.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>

namespace pulsemeter {
namespace {

struct MeterAddOptions {
    std::optional<std::string> data;
    std::string id;
    std::uint32_t imp_per_kwh = 1000;
    std::uint32_t max_kw = default_max_kw;
    std::uint32_t interval_s = 10;
    std::string wire = "sealed";
    std::optional<std::filesystem::path> key_file; // this and the topics: --wire classic only
    std::optional<std::string> up_topic;
    std::optional<std::string> down_topic;
    std::optional<std::string> broker;
    std::optional<std::string> username; // and what follows: of the meter's [broker]
    std::optional<std::string> mqtt_password_file;
    std::optional<std::string> ca_file;
    std::optional<std::string> ca_folder;
    std::optional<std::string> client_cert;
    std::optional<std::string> client_key;
    std::filesystem::path out;
    std::optional<std::filesystem::path> password_file;
};

std::string checked_topic(const char* option, const std::optional<std::string>& given, std::string otherwise)
{
    if (!given)
        return otherwise;
    if (const auto good = check_topic(*given); !good)
        throw UsageError(fmt::format("{}: {}", option, text(good.error())));
    return *given;
}

std::optional<ClassicTopics> chosen_topics(const MeterAddOptions& options)
{
    if (options.wire != "classic") {
        for (const auto& [given, option] : {std::pair(options.key_file.has_value(), "--key-file"),
                                            std::pair(options.up_topic.has_value(), "--up-topic"),
                                            std::pair(options.down_topic.has_value(), "--down-topic")}) {
            if (given) {
                throw UsageError(
                    fmt::format("{} goes with --wire classic only: the sealed wire's keys and topics are "
                                "made by meter-server",
                                option));
            }
        }
        return std::nullopt;
    }
    ClassicTopics topics;
    topics.up = checked_topic("--up-topic", options.up_topic, topics.up);
    topics.down = checked_topic("--down-topic", options.down_topic, topics.down);
    if (topics.up == topics.down) {
        throw UsageError(
            fmt::format("--up-topic and --down-topic are both {}: a meter would take its own readings "
                        "for confirmations; name two topics",
                        topics.up));
    }
    if (MeterConstant{options.imp_per_kwh} != classic_constant) {
        throw UsageError(
            fmt::format("--imp-per-kwh {}: on the classic wire a unit is one flash and is priced as 1 Wh, "
                        "so it is for meters of {} imp/kWh; leave --wire classic out for this one",
                        options.imp_per_kwh, classic_constant.imp_per_kwh));
    }
    return topics;
}

// The key of a pair that runs already, as Python's Fernet.generate_key() writes it; a new one if no file is named.
crypto::MasterKey chosen_key(const std::optional<std::filesystem::path>& file)
{
    if (!file)
        return crypto::MasterKey::random();
    if (file->empty())
        throw UsageError("--key-file: the file's name is empty");
    const crypto::SecretText content(read_secret_file(*file));
    if (auto key = crypto::MasterKey::parse(without_line_end(content.text())))
        return *std::move(key);
    throw UsageError(fmt::format(
        "--key-file: {}: holds no Fernet key: one line of 44 characters of base64url is wanted, as the "
        "Python programs have it",
        file->string())); // never quoted: it is a secret
}

// Asked before the password is, so that nobody types it in vain. What decides is Keystore::add and the refusal to write
// over a file.
void refuse_what_cannot_be(const DataFolder& folder, const MeterId& id,
                           const std::optional<ClassicTopics>& classic, const std::filesystem::path& out)
{
    const auto meters = Keystore::list(folder.keystore());
    if (std::any_of(meters.begin(), meters.end(), [&](const MeterEntry& meter) { return meter.id == id; })) {
        throw UsageError(fmt::format("there is a meter \"{}\" already: take another id, or free this one "
                                     "with `meter-server meter remove {}`, which keeps its readings",
                                     id.text(), id.text()));
    }
    if (out.empty())
        throw UsageError("--out: the file's name is empty");
    if (const auto* other = on_the_same_topics(meters, MeterEntry{.id = id, .classic = classic})) {
        throw UsageError(
            fmt::format("meter \"{}\" is on the classic topics {} and {} already, and two on one topic can't "
                        "be told apart: choose others with --up-topic and --down-topic",
                        other->id.text(), other->classic->up, other->classic->down));
    }
    std::error_code ignored;
    if (std::filesystem::symlink_status(out, ignored).type() != std::filesystem::file_type::not_found) {
        throw UsageError(
            fmt::format("{}: exists already and is not overwritten: name another file, or remove it first",
                        out.string()));
    }
    const std::filesystem::path place = out.has_parent_path() ? out.parent_path() : ".";
    if (::access(place.c_str(), W_OK | X_OK) != 0) {
        throw UsageError(
            fmt::format("{}: cannot be written: {}", out.string(), std::generic_category().message(errno)));
    }
}

// The file first: a meter whose key never reached a file could neither be set up nor be added again.
void write_file_and_key(Keystore& keystore, const MeterEntry& meter, const crypto::MasterKey& key,
                        const std::filesystem::path& out, const crypto::SecretText& content)
{
    write_secret_file(out, content.text(), Existing::refuse);
    try {
        keystore.add(meter, key);
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(out, ignored);
        throw;
    }
}

BrokerUrl url_of_the_meter(const BrokerSettings& of_the_server, const MeterAddOptions& options)
{
    if (!options.broker)
        return of_the_server.url;
    try {
        return BrokerUrl::parse(*options.broker);
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("--broker: {}", error.what()));
    }
}

// As meter-pi will read it in the file that is to be written. A UsageError names the option that was taken in last.
void read_as_the_meter_does(const BrokerSettings& broker, const char* option, const MeterAddOptions& options)
{
    const MeterFile file{.id = parse_meter_id(options.id), .key = "(not looked at)", .broker = broker};
    try {
        (void)read_broker(ConfigFile::parse(text(file), options.out).table("broker"));
    } catch (const UsageError& error) {
        throw UsageError(fmt::format("{}: meter-pi would refuse the file: {}", option, error.what()));
    }
}

// The URL is the server's unless another is given; name and files are the meter's own and lie on the Pi.
BrokerSettings broker_of_the_meter(const BrokerSettings& of_the_server, const MeterAddOptions& options)
{
    BrokerSettings broker{.url = url_of_the_meter(of_the_server, options),
                          .version = of_the_server.version,
                          .username = options.username.value_or("")};
    if ((options.ca_file || options.ca_folder || options.client_cert) &&
        broker.url.transport != Transport::tls) {
        throw UsageError(
            fmt::format("--broker-ca-file, --broker-ca-folder and --broker-client-cert are for TLS, and "
                        "{} has none: say --broker mqtts://HOST[:PORT], or leave them out",
                        broker.url.text()));
    }
    const auto check = [&](const char* option, const std::optional<std::string>& given) {
        if (given && given->empty())
            throw UsageError(fmt::format("{}: is empty: leave the option out if there is none", option));
        if (given)
            read_as_the_meter_does(broker, option, options);
    };
    check("--broker-username", options.username);
    broker.password_file = options.mqtt_password_file.value_or("");
    check("--broker-password-file", options.mqtt_password_file);
    broker.tls.ca_file = options.ca_file.value_or("");
    check("--broker-ca-file", options.ca_file);
    broker.tls.ca_folder = options.ca_folder.value_or("");
    check("--broker-ca-folder", options.ca_folder);
    broker.tls.client_cert = broker.tls.client_key = options.client_cert.value_or("");
    check("--broker-client-cert", options.client_cert);
    broker.tls.client_key = options.client_key.value_or("");
    check("--broker-client-key", options.client_key);
    return broker;
}

void warn_of_what_was_not_carried_over(const BrokerSettings& of_the_server, const BrokerSettings& broker,
                                       const std::filesystem::path& out)
{
    std::string missing;
    const auto note = [&missing](const char* key, const std::string& theirs, const std::string& ours) {
        if (!theirs.empty() && ours.empty())
            missing += (missing.empty() ? "" : ", ") + std::string(key);
    };
    note("username", of_the_server.username, broker.username);
    note("password_file", of_the_server.password_file.string(), broker.password_file.string());
    if (broker.url.transport == Transport::tls) {
        note("ca_file", of_the_server.tls.ca_file.string(), broker.tls.ca_file.string());
        note("ca_folder", of_the_server.tls.ca_folder.string(), broker.tls.ca_folder.string());
        note("client_cert", of_the_server.tls.client_cert.string(), broker.tls.client_cert.string());
    }
    if (!missing.empty()) {
        log::warning("the server has {} in its [broker]; the meter will want its own: set them in {}, or say "
                     "--broker-username and the like",
                     missing, out.string());
    }
}

ExitCode meter_add(const MeterAddOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterId id = parse_meter_id(options.id);
    const std::optional<ClassicTopics> classic = chosen_topics(options);
    const crypto::MasterKey key = chosen_key(options.key_file);
    const BrokerSettings of_the_server = read_server_settings(folder.settings()).broker;
    const BrokerSettings broker = broker_of_the_meter(of_the_server, options);
    refuse_what_cannot_be(folder, id, classic, options.out);
    const crypto::SecretText password = obtain_password(options.password_file);
    Keystore keystore = Keystore::open(folder.keystore(), password.text());

    const MeterEntry meter{id, MeterConstant{options.imp_per_kwh}, options.max_kw,
                           std::chrono::floor<std::chrono::seconds>(wall_time()), classic};
    const crypto::SecretText key_text(key.text());
    const crypto::SecretText content(text({.id = id,
                                           .key = key_text.text(),
                                           .constant = meter.constant,
                                           .max_kw = meter.max_kw,
                                           .interval = std::chrono::seconds(options.interval_s),
                                           .broker = broker,
                                           .classic = classic}));
    write_file_and_key(keystore, meter, key, options.out, content);

    warn_of_what_was_not_carried_over(of_the_server, broker, options.out);
    if (is_loopback(broker.url)) {
        log::warning("{} is this machine only: a Pi can't reach it. If the meter runs elsewhere, change the "
                     "broker's url in "
                     "{} there, or say --broker",
                     broker.url.text(), options.out.string());
    }
    print(fmt::format(
        "meter {} added. {} holds its key: copy it to the Pi (scp), start meter-pi run --config FILE there, "
        "and remove it here.\n",
        id.text(), options.out.string()));
    return ExitCode::done;
}

// Paths are as they will be on the Pi; nothing is read here.
void add_broker_options(Command& command, MeterAddOptions& options)
{
    command
        .add_option("--broker", options.broker, "The broker as the meter reaches it (default: the server's)")
        .takes("URL");
    Option name = command.add_option("--broker-username", options.username, "The meter's user name there")
                      .takes("NAME");
    command
        .add_option("--broker-password-file", options.mqtt_password_file,
                    "Where on the Pi that user's password will be (mode 0600)")
        .takes("FILE")
        .needs(name);
    Option file = command
                      .add_option("--broker-ca-file", options.ca_file,
                                  "Where on the Pi the certificate of the broker's CA will be")
                      .takes("FILE");
    command.add_option("--broker-ca-folder", options.ca_folder, "... or a folder of such")
        .takes("DIR")
        .excludes(file);
    Option certificate = command
                             .add_option("--broker-client-cert", options.client_cert,
                                         "Where on the Pi the meter's certificate will be")
                             .takes("FILE");
    Option key = command.add_option("--broker-client-key", options.client_key, "... and its key (mode 0600)")
                     .takes("FILE");
    certificate.needs(key);
    key.needs(certificate);
}

} // namespace

void add_meter_add(Command& parent)
{
    auto options = std::make_shared<MeterAddOptions>();
    Command command = parent.add_command("add", "Make a meter's key and its whole configuration file");
    command.add_option("ID", options->id, "Its name: 1 to 32 characters of a-z, 0-9 and -").required();
    command.add_option("--out", options->out, "Where to write its configuration; no such file may exist")
        .takes("FILE")
        .required();
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command
        .add_option("--imp-per-kwh", options->imp_per_kwh,
                    "Flashes a kWh, as printed on the meter (default 1000)")
        .takes("N")
        .within(1, largest_imp_per_kwh);
    command
        .add_option("--max-kw", options->max_kw, "The largest load; what rises faster is held (default 43)")
        .takes("N")
        .within(1, 10'000);
    command
        .add_option(
            "--interval", options->interval_s,
            "Time between two readings (default 10); on the classic wire the pause after a confirmation")
        .takes("SECONDS")
        .within(1, 86'400);
    add_broker_options(command, *options);
    command.add_option("--wire", options->wire, "sealed (default), or classic: that of the Python programs")
        .takes("WIRE")
        .one_of({"sealed", "classic"});
    command
        .add_option("--key-file", options->key_file,
                    "Classic: read the Python programs' Fernet key from FILE, mode 0600 (default: make one)")
        .takes("FILE");
    command.add_option("--up-topic", options->up_topic, "Classic: of the totals (default UNITS1221)")
        .takes("T");
    command
        .add_option("--down-topic", options->down_topic, "Classic: of the confirmations (default UNITS1222)")
        .takes("T");
    command.does([options] { return meter_add(*options); });
}

} // namespace pulsemeter
