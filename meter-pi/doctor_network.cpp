#include "meter-pi/doctor.hpp"
#include "shared/broker_files.hpp"
#include "shared/connection_trouble.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace pulsemeter::doctor {
namespace {
constexpr std::chrono::seconds connect_within{5};
constexpr const char* broker_files_name = "broker files";

namespace fs = std::filesystem;

bool is_within(const fs::path& file, const fs::path& folder)
{
    const fs::path relative = fs::absolute(file).lexically_normal().lexically_relative(folder);
    return !relative.empty() && *relative.begin() != "..";
}

// What systemd takes for the name of a credential; one that is none keeps the service from starting.
bool is_credential_name(const std::string& name)
{
    return std::all_of(name.begin(), name.end(),
                       [](char each) { return each > ' ' && each <= '~' && each != ':'; });
}

// Is `file` what the packaged service gets to see, although it is not who looks here?
std::optional<Finding> kept_from_service(const fs::path& file, const fs::path& service)
{
    std::error_code ignored;
    const auto kind = fs::symlink_status(file, ignored).type();
    if (is_within(file, service / "broker")) {
        if (kind == fs::file_type::symlink || kind == fs::file_type::directory) {
            return wrong(broker_files_name,
                         file.string() + " is no regular file: the service is not handed it",
                         "put the file itself there, not a link to it");
        }
        return std::nullopt;
    }
    if (!is_within(file, service) || kind == fs::file_type::not_found)
        return std::nullopt;
    if ((fs::status(file, ignored).permissions() & fs::perms::others_read) == fs::perms::none) {
        return wrong(broker_files_name, file.string() + " is not handed to the service",
                     how_to_hand_over(file));
    }
    return not_looked_at(broker_files_name, fmt::format("the service sees {} only by its whole path; else {}",
                                                        file.string(), how_to_hand_over(file)));
}

std::optional<Finding> badly_named(const fs::path& folder)
{
    std::error_code ignored;
    for (const auto& each : fs::directory_iterator(folder, ignored)) {
        if (!is_credential_name(each.path().filename().string())) {
            return wrong(broker_files_name, "systemd takes no such name: " + each.path().string(),
                         "rename it: the service does not start beside it");
        }
    }
    return std::nullopt;
}
} // namespace

Finding broker_files(const BrokerSettings& broker, const std::optional<fs::path>& service)
{
    std::optional<Finding> unseen = service ? badly_named(*service / "broker") : std::nullopt;
    const TlsFiles& tls = broker.tls;
    for (const auto& file :
         {broker.password_file, tls.ca_file, tls.ca_folder, tls.client_cert, tls.client_key}) {
        if (service && !file.empty() && !unseen)
            unseen = kept_from_service(file, *service);
    }
    if (unseen && unseen->health == Health::wrong)
        return *unseen;
    try {
        check_broker_files(broker);
    } catch (const std::exception& failure) {
        return wrong(broker_files_name, failure.what());
    }
    if (unseen)
        return *unseen;
    const bool any = !broker.password_file.empty() || broker.url.transport == Transport::tls;
    return any ? well(broker_files_name, "there, and can be read")
               : not_looked_at(broker_files_name, "[broker] names none");
}

std::vector<Finding> unconfigured()
{
    std::vector<Finding> all;
    for (const char* name : {"sensor line", "line free", "level", "pull", broker_files_name,
                             "broker resolves", "broker connects"})
        all.push_back(not_looked_at(name, "the configuration comes first"));
    for (Finding& each : no_link("the configuration comes first"))
        all.push_back(std::move(each));
    return all;
}

std::vector<Finding> network(const BrokerUrl& url)
{
    const auto addresses = look_up(url);
    if (!addresses) {
        return {wrong("broker resolves", addresses.error()),
                not_looked_at("broker connects", "its address is not known")};
    }
    Finding resolves = well("broker resolves", numeric_address(url) ? url.host + " is an address"
                                                                    : fmt::format("{} is {}", url.host,
                                                                                  addresses->front().uri()));
    std::string why;
    for (const BrokerAddress& address : *addresses) {
        const auto unreachable = why_unreachable(address, connect_within);
        if (!unreachable)
            return {resolves, well("broker connects", address.uri())};
        why = fmt::format("{}: {}", address.uri(), *unreachable);
    }
    return {resolves, wrong("broker connects", why)};
}

} // namespace pulsemeter::doctor
