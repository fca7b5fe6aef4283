#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server_settings.hpp"
#include "server/sqlite_ledger.hpp"
#include "shared/crypto/classic_token.hpp"
#include "shared/event_loop.hpp"
#include "shared/log.hpp"
#include "shared/paho_message_bus.hpp"
#include "shared/shell_command.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

namespace pulsemeter {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds retained_within{2}; // as the running server waits for it
constexpr std::chrono::seconds patience{10};
// A meter that is refused speaks when the running server repeats the stored total to it, every 10 s, and pauses before.
constexpr std::chrono::seconds heard_within{20};

struct RestoreTotalOptions {
    std::optional<std::string> data;
    std::string id;
    std::optional<std::filesystem::path> password_file;
};

const ClassicTopics& classic_topics(const MeterEntry& meter)
{
    if (!meter.classic) {
        throw UsageError(
            fmt::format("meter {} is on the sealed wire: its total is on its own disk, and the server tells "
                        "it what it knows; there is nothing to put back",
                        meter.id.text()));
    }
    return *meter.classic;
}

// The newest one that the classic wire has brought.
Pulses stored_total(const DataFolder& folder, const MeterId& meter)
{
    const Pulses total = SqliteLedger(folder.ledger(), LedgerAccess::read).total_of(meter);
    if (total == Pulses{0}) {
        throw UsageError(
            fmt::format("no total of meter {} is stored: there is nothing to put back; a meter that starts "
                        "now begins at 0",
                        meter.text()));
    }
    return total;
}

// What is on the up topic, and what was put there.
class UpTopic {
public:
    UpTopic(const BrokerSettings& broker, std::string topic)
        : broker_(broker),
          topic_(std::move(topic)),
          bus_(broker, random_client_id(), random_number(), [this] { loop_.wake(); })
    {
        bus_.subscribe(topic_);
    }
    ~UpTopic() { bus_.close(); }
    UpTopic(const UpTopic&) = delete;
    UpTopic& operator=(const UpTopic&) = delete;

    [[nodiscard]] std::optional<std::string> retained()
    {
        std::optional<std::string> found;
        if (!wait(
                patience, [](const BusEvent& event) { return std::holds_alternative<Connected>(event); },
                found))
            throw std::runtime_error(fmt::format("{} does not answer", broker_.url.text()));
        const auto is_retained = [](const BusEvent& event) {
            const auto* message = std::get_if<Received>(&event);
            return message != nullptr && message->retained;
        };
        if (!found)
            (void)wait(retained_within, is_retained, found);
        return found;
    }

    // Whether somebody with that key publishes there now. Throws if it is not awaited to its end.
    [[nodiscard]] bool is_in_use(crypto::Fernet& fernet)
    {
        std::optional<std::string> ignored;
        const auto is_live = [&fernet](const BusEvent& event) {
            const auto* message = std::get_if<Received>(&event);
            return message != nullptr && !message->retained && fernet.open(message->payload).has_value();
        };
        const bool heard = wait(heard_within, is_live, ignored);
        if (loop_.stop_requested())
            throw std::runtime_error("stopped; nothing was put back");
        return heard;
    }

    void keep(const std::string& payload)
    {
        std::optional<std::string> ignored;
        const auto comes_back = [&payload](const BusEvent& event) {
            const auto* message = std::get_if<Received>(&event);
            return message != nullptr && message->payload == payload;
        };
        if (!bus_.publish(topic_, payload, Retain::yes) || !wait(patience, comes_back, ignored)) {
            throw std::runtime_error(
                fmt::format("{} did not take the total on {}: may the server publish there? Try again",
                            broker_.url.text(), topic_));
        }
    }

private:
    // Until the awaited event or the end; keeps a retained message. False: it did not come.
    bool wait(std::chrono::seconds limit, const std::function<bool(const BusEvent&)>& awaited,
              std::optional<std::string>& retained)
    {
        const auto end = steady_clock::now() + limit;
        bool came = false;
        while (!came && steady_clock::now() < end && !loop_.stop_requested()) {
            loop_.wait_until(std::min(bus_.tick(steady_clock::now()), end));
            for (const BusEvent& event : bus_.take()) {
                if (const auto* loss = std::get_if<Disconnected>(&event))
                    throw std::runtime_error(loss->reason);
                if (const auto* denied = std::get_if<PublishDenied>(&event))
                    throw std::runtime_error(denied->reason);
                if (const auto* message = std::get_if<Received>(&event);
                    message != nullptr && message->retained)
                    retained = message->payload;
                came = came || awaited(event);
            }
        }
        return came;
    }

    const BrokerSettings& broker_;
    std::string topic_;
    EventLoop loop_;
    PahoMessageBus bus_;
};

// What a total there is worth; UsageError if it is not this meter's.
Pulses opened(const std::string& payload, const crypto::FernetKey& key, const BrokerSettings& broker,
              const std::string& topic)
{
    if (const auto token = crypto::Fernet(key).open(payload)) {
        if (const auto total = decode_total(token->plaintext))
            return *total;
    }
    throw UsageError(
        fmt::format("the broker keeps a message on {} that is no total under this meter's key, and it is not "
                    "written over: if nobody needs it, clear it with `{}`",
                    topic, clearing_command(broker, topic)));
}

ExitCode restore_total(const RestoreTotalOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    const MeterEntry meter = served_meter(folder, options.id);
    const std::string topic = classic_topics(meter).up;
    const Pulses stored = stored_total(folder, meter.id);
    const BrokerSettings broker = read_server_settings(folder.settings()).broker;
    const crypto::SecretText password = obtain_password(options.password_file);
    const Keystore keystore = Keystore::open(folder.keystore(), password.text());
    const crypto::FernetKey key(keystore.key(meter.id).bytes());

    UpTopic up(broker, topic);
    if (const auto retained = up.retained()) {
        const Pulses total = opened(*retained, key, broker, topic);
        if (total >= stored) {
            print(fmt::format("nothing to put back: the broker keeps {} on {}, and the stored total is {}\n",
                              total.value, topic, stored.value));
            return ExitCode::done;
        }
    }
    // It would soon write its lower total over what is put there.
    log::info("listening for {} s whether meter {} still runs", heard_within.count(), meter.id.text());
    crypto::Fernet fernet(key);
    if (up.is_in_use(fernet)) {
        throw UsageError(fmt::format(
            "meter {} still runs: it publishes on {}; stop it, then put its total back, then start it again",
            meter.id.text(), topic));
    }
    up.keep(crypto::seal_total(fernet, stored, wall_time(), crypto::random_iv()));
    print(fmt::format(
        "the stored total {} of meter {} is on {} again, sealed and retained. Now start the meter again: it "
        "goes on from {}. (A meter that pauses for more than some 10 s may not have been heard: make sure "
        "that it was stopped. What it counted while its totals were refused is in no total.)\n",
        stored.value, meter.id.text(), topic, stored.value));
    return ExitCode::done;
}

} // namespace

void add_meter_restore_total(Command& parent)
{
    auto options = std::make_shared<RestoreTotalOptions>();
    Command command = parent.add_command(
        "restore-total", "Classic: put the stored total back on the broker, for a meter that has lost it");
    command.add_option("ID", options->id, "The meter; stop it before, start it after").required();
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command.does([options] { return restore_total(*options); });
}

} // namespace pulsemeter
