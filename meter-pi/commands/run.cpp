#include "meter-pi/classic_meter.hpp"
#include "meter-pi/commands/commands.hpp"
#include "meter-pi/edge_reader.hpp"
#include "meter-pi/host.hpp"
#include "meter-pi/meter.hpp"
#include "meter-pi/meter_settings.hpp"
#include "meter-pi/report.hpp"
#include "meter-pi/sources.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "meter-pi/state_folder.hpp"
#include "shared/event_loop.hpp"
#include "shared/files.hpp"
#include "shared/log.hpp"
#include "shared/paho_message_bus.hpp"
#include "shared/reading_codec.hpp"
#include "shared/service_manager.hpp"
#include "shared/shell_command.hpp"
#include "shared/watchdog.hpp"

#include <algorithm>
#include <memory>
#include <random>

namespace pulsemeter {
namespace {

struct RunOptions {
    std::string config;
    std::string source = "auto";
    std::optional<std::string> state;
    bool verbose = false;
};

std::uint64_t random_number()
{
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
}

std::string random_client_id()
{
    return fmt::format("pulsemeter-{:016x}", random_number());
}

Nonce random_nonce()
{
    Nonce nonce{};
    std::random_device device;
    std::generate(nonce.begin(), nonce.end(), [&] { return static_cast<std::uint8_t>(device()); });
    return nonce;
}

void show_last_confirmation(SqliteMeterStore& store, const MeterId& id, const crypto::FernetKey& down)
{
    const auto token = store.confirmation_token();
    if (!token)
        return;
    std::optional<Confirmation> confirmation;
    if (const auto opened = crypto::Fernet(down).open(*token)) {
        const auto message = decode_down(id, opened->plaintext);
        if (message && std::holds_alternative<Confirmation>(*message))
            confirmation = std::get<Confirmation>(*message);
    }
    report::last_confirmation(*token, confirmation);
}

void show_last_total(SqliteMeterStore& store, const crypto::FernetKey& key)
{
    const auto token = store.confirmation_token();
    if (!token)
        return;
    std::optional<Pulses> total;
    if (const auto opened = crypto::Fernet(key).open(*token)) {
        if (const auto decoded = decode_total(opened->plaintext))
            total = *decoded;
    }
    report::last_confirmation(*token, total);
}

// The classic wire has one total and no word for where it comes from: once simulated units are in it, they stay.
void refuse_mixing(SqliteMeterStore& store, Source source)
{
    const auto simulated = store.load(Source::simulated);
    if (source == Source::measured && simulated && simulated->epoch.value != 0) {
        throw UsageError(
            "this meter has sent simulated units, and on the classic wire a measured total can't be told "
            "apart from them: set up a measured one with `meter-server meter add --wire classic "
            "--up-topic T --down-topic T` and another --state folder");
    }
}

StoredRegister register_of(SqliteMeterStore& store, Source source, const MeterSettings& settings)
{
    const auto stored = store.load(source);
    if (!stored)
        return {.source = source, .constant = settings.constant};
    if (value_of(*stored).constant != settings.constant) {
        throw UsageError(fmt::format(
            "imp_per_kwh is {} in the configuration, but this register was counted at {}: set it back, or, "
            "if "
            "the plate says so, set the register anew: meter-pi register set --kwh NUMBER-ON-THE-DISPLAY",
            settings.constant.imp_per_kwh, value_of(*stored).constant.imp_per_kwh));
    }
    return *stored;
}

// How often an idle edge thread comes round: a service manager's watchdog waits for it.
std::chrono::milliseconds edge_turn(const ServiceManager& service)
{
    constexpr std::chrono::milliseconds longest{30'000};
    const auto limit = service.watchdog_limit();
    return limit ? std::min(longest, std::chrono::duration_cast<std::chrono::milliseconds>(*limit / 4))
                 : longest;
}

struct Parts {
    EdgeReader& reader;
    SqliteMeterStore& store;
    MessageBus& bus;
    EventLoop& loop;
    ServiceManager& service;
};

// The program's loop: turn after turn until it is asked to stop.
template <typename AnyMeter>
void turn_until_stopped(AnyMeter& meter, const Parts& parts)
{
    using Clock = std::chrono::steady_clock;
    Watchdog watchdog(parts.service);
    parts.service.ready();
    while (!parts.loop.stop_requested()) {
        const auto due = meter.turn(Clock::now());
        parts.service.status(meter.condition());
        watchdog.turned(Clock::now(), parts.reader.turns());
        parts.loop.wait_until(std::min(due, watchdog.next_deadline()));
    }
    parts.service.stopping();
    meter.finish(Clock::now());
}

void run_sealed(const MeterSettings& settings, const StoredRegister& stored, const Parts& parts)
{
    const crypto::MeterKeys keys = crypto::derive(settings.key, settings.id);
    show_last_confirmation(parts.store, settings.id, keys.down);
    Meter meter(settings.id, keys, settings.interval, stored,
                {.tally = [&parts] { return parts.reader.tally(); },
                 .facts = host::facts,
                 .store = parts.store,
                 .bus = parts.bus},
                random_nonce(), random_number());
    turn_until_stopped(meter, parts);
}

void run_classic(const MeterSettings& settings, const StoredRegister& stored, const Parts& parts)
{
    const crypto::FernetKey key(settings.key.bytes());
    show_last_total(parts.store, key);
    ClassicMeter meter(settings.id, key, *settings.classic,
                       clearing_command(settings.broker, settings.classic->up), settings.interval, stored,
                       {.tally = [&parts] { return parts.reader.tally(); },
                        .facts = host::facts,
                        .store = parts.store,
                        .bus = parts.bus},
                       random_number());
    turn_until_stopped(meter, parts);
}

ExitCode run(const RunOptions& options)
{
    const SourceRequest request = SourceRequest::parse(options.source);
    const MeterSettings settings = read_meter_settings(options.config);
    const std::filesystem::path folder = state_folder(options.state);
    EventLoop loop;
    PahoMessageBus bus(settings.broker, random_client_id(), random_number(), [&loop] { loop.wake(); });
    std::optional<OpenedSource> opened;
    std::error_code ignored;
    if (!std::filesystem::exists(folder / "meter.sqlite", ignored)) // a run that is refused claims no folder
        opened = open_source(request, settings, History::never_fed, random_number());
    make_private_folder(folder);
    const FolderLock lock(folder, "meter-pi");
    SqliteMeterStore store(folder, StoreAccess::own);
    store.claim(owner_text(settings));
    if (!opened) {
        const auto history = store.load(Source::measured) ? History::fed_by_hardware : History::never_fed;
        opened = open_source(request, settings, history, random_number());
    }
    if (settings.classic)
        refuse_mixing(store, opened->source);
    const StoredRegister stored = register_of(store, opened->source, settings);
    (void)store.commit({.register_now = stored,
                        .condition = "starting"}); // from here on the folder knows whose pulses it keeps

    ServiceManager service;
    EdgeReader reader(std::move(opened->first), std::move(opened->trouble), std::move(opened->open),
                      settings.gpio.own_filter, settings.constant, edge_turn(service));
    log::info("meter {}: {} pulses at {} imp/kWh so far, broker {}", settings.id.text(),
              value_of(stored).total.value, settings.constant.imp_per_kwh, settings.broker.url.text());
    const Parts parts{reader, store, bus, loop, service};
    if (settings.classic) {
        run_classic(settings, stored, parts);
    } else {
        run_sealed(settings, stored, parts);
    }
    bus.close();
    return ExitCode::done;
}

} // namespace

void add_run(Command& parent)
{
    auto options = std::make_shared<RunOptions>();
    Command command = parent.add_command("run", "Count and send until Ctrl-C or SIGTERM");
    command
        .add_option("--config", options->config, "The file that `meter-server meter add` wrote (mode 0600)")
        .takes("FILE")
        .required();
    command
        .add_option("--source", options->source,
                    "auto (the GPIO line; where this machine has none, simulation, but never on the classic "
                    "wire), gpio, "
                    "simulate, or replay=TRACE")
        .takes("SOURCE");
    command
        .add_option(
            "--state", options->state,
            "Where the register is kept (default: $STATE_DIRECTORY, else pulsemeter in the XDG state folder)")
        .takes("DIR");
    command.add_flag("--verbose", options->verbose, "Say more on stderr");
    command.does([options] {
        if (options->verbose)
            log::show_debug();
        return run(*options);
    });
}

} // namespace pulsemeter
