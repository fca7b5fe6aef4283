#include "server/commands/commands.hpp"
#include "server/commands/common.hpp"
#include "server/day_sealer.hpp"
#include "server/keystore.hpp"
#include "server/password.hpp"
#include "server/server.hpp"
#include "server/server_settings.hpp"
#include "shared/event_loop.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"
#include "shared/paho_message_bus.hpp"
#include "shared/service_manager.hpp"
#include "shared/watchdog.hpp"

#include <algorithm>
#include <map>
#include <memory>

namespace pulsemeter {
namespace {

struct RunOptions {
    std::optional<std::string> data;
    std::optional<std::filesystem::path> password_file;
    bool verbose = false;
    bool accept_damage = false;
};

// Tells of each meter once, also of what `meter add` and `meter remove` do while the server runs.
class MeterWatch {
public:
    explicit MeterWatch(Keystore& keystore) : keystore_(keystore) {}

    MeterChanges operator()()
    {
        try {
            keystore_.reload_if_changed();
        } catch (const std::exception& error) {
            log::error("{}; going on with the meters known so far", error.what());
        }
        MeterChanges changes;
        for (auto each = told_.begin(); each != told_.end();) {
            if (still_there(each->second)) {
                ++each;
            } else {
                changes.removed.push_back(served(each->second));
                each = told_.erase(each);
            }
        }
        for (const MeterEntry& meter : keystore_.meters()) {
            const auto [place, is_new] = told_.try_emplace(meter.id, Told{meter, keystore_.key(meter.id)});
            if (is_new)
                changes.added.push_back(served(place->second));
        }
        return changes;
    }

private:
    struct Told {
        MeterEntry entry;
        crypto::MasterKey key;
    };

    // The same one: the id alone may be another meter's by now, with a key of its own.
    [[nodiscard]] bool still_there(const Told& told) const
    {
        const auto& meters = keystore_.meters();
        return std::find(meters.begin(), meters.end(), told.entry) != meters.end() &&
               std::ranges::equal(told.key.bytes(), keystore_.key(told.entry.id).bytes());
    }

    [[nodiscard]] static ServedMeter served(const Told& told)
    {
        const MeterEntry& meter = told.entry;
        if (meter.classic) {
            return {meter.id, ClassicChannel{crypto::FernetKey(told.key.bytes()), *meter.classic},
                    meter.max_kw};
        }
        return {meter.id, crypto::derive(told.key, meter.id), meter.max_kw};
    }

    Keystore& keystore_;
    std::map<MeterId, Told> told_;
};

// A reader of our lines that has gone away is no reason to stop counting.
void print_if_possible(const std::string& lines)
{
    static bool told = false;
    try {
        print(lines);
    } catch (const std::exception& error) {
        if (!std::exchange(told, true))
            log::warning("{}; readings are still taken in", error.what());
    }
}

enum class OnDamage : std::uint8_t { refuse, accept };

// What stays when a backup is restored under the running server.
struct Running {
    const DataFolder& folder;
    const crypto::SecretText& password;
    Detail detail;
    OnDamage on_damage;
    EventLoop& loop;
    ServiceManager& service;
};

// What is not what a meter has sent is neither built on nor priced, unless the operator says so.
void check_damage(const DataFolder& folder, SqliteLedger& ledger, OnDamage on_damage)
{
    const auto change = ledger.find_change();
    if (!change)
        return;
    const std::string words = fmt::format("the ledger {} is damaged ({})", folder.ledger().string(), *change);
    if (on_damage == OnDamage::refuse) {
        throw UsageError(words +
                         ": restore it from a backup; without one, --accept-damage goes on with it as it is");
    }
    refuse_illegible(ledger);
    log::error("{}: going on with it as it is; what is damaged is not sealed", words);
    ledger.record({wall_time(), EventKind::damaged, std::nullopt, *change});
}

enum class End : std::uint8_t { stopped, restored };

End serve(const Running& running)
{
    const DataFolder& folder = running.folder; // by name: clang 14 captures no structured binding
    EventLoop& loop = running.loop;
    ServiceManager& service = running.service;
    // First, since a restore that comes later shows in it.
    SqliteLedger ledger(folder.ledger(), LedgerAccess::write);
    check_damage(folder, ledger, running.on_damage);
    const ServerSettings settings = read_server_settings(folder.settings());
    Keystore keystore = Keystore::open(folder.keystore(), running.password.text());
    PahoMessageBus bus(settings.broker, random_client_id(), random_number(), [&loop] { loop.wake(); });
    Server server({.bus = bus,
                   .ledger = ledger,
                   .tariff = settings.tariff,
                   .meter_changes = MeterWatch(keystore),
                   .print = print_if_possible,
                   .detail = running.detail},
                  settings.broker.url.text(), random_number());
    if (keystore.meters().empty())
        log::warning("no meter yet: meter-server meter add ID --out FILE");
    DaySealer sealer(ledger, keystore.audit_key());
    Watchdog watchdog(service);
    service.ready();
    const auto is_restored = [&] { return ledger.was_replaced() && folder.initialised(); };
    while (!loop.stop_requested()) {
        if (is_restored()) {
            bus.close();
            return End::restored;
        }
        const auto due = server.turn(std::chrono::steady_clock::now(), wall_time());
        const auto seal_due = sealer.turn(std::chrono::steady_clock::now(), wall_time());
        service.status(server.condition());
        watchdog.turned(std::chrono::steady_clock::now());
        loop.wait_until(std::min({due, seal_due, watchdog.next_deadline()}));
    }
    service.stopping();
    bus.close();
    log::info("ended");
    return End::stopped;
}

ExitCode run(const RunOptions& options)
{
    const DataFolder folder = initialised_folder(options.data);
    (void)read_server_settings(folder.settings()); // before a password is asked for in vain
    const crypto::SecretText password = obtain_password(options.password_file);
    const FolderLock lock(folder.path(), "meter-server");
    EventLoop loop;
    loop.stop_on_enter();
    ServiceManager service;
    const Running running{folder,
                          password,
                          options.verbose ? Detail::envelopes : Detail::readings,
                          options.accept_damage ? OnDamage::accept : OnDamage::refuse,
                          loop,
                          service};
    while (serve(running) == End::restored) {
        log::warning("{} was restored from a backup: going on with its ledger, keys and settings",
                     folder.path().string());
    }
    return ExitCode::done;
}

} // namespace

void add_run(Command& parent)
{
    auto options = std::make_shared<RunOptions>();
    Command command =
        parent.add_command("run", "Take in, print and confirm readings until Enter, Ctrl-C or SIGTERM");
    add_data_option(command, options->data);
    add_password_option(command, options->password_file);
    command.add_flag("--verbose", options->verbose,
                     "Also show topic, QoS, retain flag and the sealed payload");
    command.add_flag("--accept-damage", options->accept_damage,
                     "Go on with a ledger whose readings are not what was stored, where there is no backup");
    command.does([options] {
        if (options->verbose)
            log::show_debug();
        return run(*options);
    });
}

} // namespace pulsemeter
