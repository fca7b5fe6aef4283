#include "meter-pi/doctor.hpp"

#include "meter-pi/commands/commands.hpp"
#include "meter-pi/host.hpp"
#include "meter-pi/state_folder.hpp"
#include "shared/paho_message_bus.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <memory>
#include <random>

namespace pulsemeter {
namespace {

struct DoctorOptions {
    std::string config;
    std::optional<std::string> state;
    bool json = false;
};

constexpr std::chrono::seconds patience{10};

Hello a_hello(Source source)
{
    Hello hello{.source = source, .boot = host::boot_id()};
    std::random_device device;
    std::generate(hello.nonce.begin(), hello.nonce.end(),
                  [&] { return static_cast<std::uint8_t>(device()); });
    return hello;
}

std::vector<Finding> link(const MeterSettings& settings, Source source)
{
    std::random_device device;
    EventLoop loop;
    PahoMessageBus bus(settings.broker, fmt::format("pulsemeter-doctor-{:08x}", device()), device(),
                       [&loop] { loop.wake(); });
    return doctor::link(settings, a_hello(source), bus, loop, patience);
}

class Report {
public:
    explicit Report(bool json)
        : json_(json), marks_(marks_for(std::getenv("LC_ALL"), std::getenv("LC_CTYPE"), std::getenv("LANG")))
    {
    }
    void add(const std::vector<Finding>& findings)
    {
        for (const Finding& finding : findings) {
            if (!json_)
                fmt::print("{}\n", line_of(finding, marks_));
            all_.push_back(finding);
        }
        (void)std::fflush(stdout); // some checks take seconds
    }
    [[nodiscard]] ExitCode end() const
    {
        if (json_) {
            auto rows = nlohmann::ordered_json::array();
            for (const Finding& finding : all_) {
                rows.push_back({{"check", finding.check},
                                {"health", text(finding.health)},
                                {"found", finding.found},
                                {"remedy", finding.remedy}});
            }
            const nlohmann::ordered_json report{{"ok", all_well(all_)}, {"findings", rows}};
            using OfText = nlohmann::ordered_json::error_handler_t; // a path may be of any bytes
            fmt::print("{}\n", report.dump(-1, ' ', false, OfText::replace));
        }
        return all_well(all_) ? ExitCode::done : ExitCode::failed;
    }

private:
    bool json_;
    Marks marks_;
    std::vector<Finding> all_;
};

// Nothing: a configuration of somebody's own.
std::optional<std::filesystem::path> folder_of_service(const std::filesystem::path& config)
{
    const auto whole = std::filesystem::absolute(config).lexically_normal();
    return whole == "/etc/pulsemeter/meter.toml" ? std::optional(whole.parent_path()) : std::nullopt;
}

ExitCode examine(const DoctorOptions& options)
{
    const std::filesystem::path folder = state_folder(options.state);
    Report report(options.json);
    const doctor::Configuration read = doctor::configuration(options.config);
    report.add(read.findings);
    report.add({doctor::clock(host::clock())});
    report.add(doctor::state(folder, read.settings ? &*read.settings : nullptr));
    if (!read.settings) {
        report.add(doctor::unconfigured());
        return report.end();
    }
    report.add(doctor::sensor(read.settings->gpio, doctor::running_meter(folder)));
    const Finding files = doctor::broker_files(read.settings->broker, folder_of_service(options.config));
    report.add({files});
    const auto network = doctor::network(read.settings->broker.url);
    report.add(network);
    if (files.health == Health::wrong) {
        report.add(doctor::no_link("the broker files come first"));
    } else if (!all_well(network)) {
        report.add(doctor::no_link("the broker is not reached"));
    } else {
        report.add(link(*read.settings, doctor::register_source(folder)));
    }
    return report.end();
}

} // namespace

void add_doctor(Command& parent)
{
    auto options = std::make_shared<DoctorOptions>();
    Command command = parent.add_command(
        "doctor", "Look at everything that can be wrong, also beside a running meter; exit 0 if all is well");
    command.add_option("--config", options->config, "The meter's configuration file")
        .takes("FILE")
        .required();
    command.add_option("--state", options->state, "The folder of the meter (default as in run)").takes("DIR");
    command.add_flag("--json", options->json, "For scripts");
    command.does([options] { return examine(*options); });
}

} // namespace pulsemeter
