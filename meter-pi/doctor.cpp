#include "meter-pi/doctor.hpp"

#include "meter-pi/kilowatt_hours.hpp"
#include "meter-pi/sqlite_meter_store.hpp"
#include "meter-pi/store_owner.hpp"
#include "shared/files.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace pulsemeter::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t megabyte = 1'000'000;
constexpr std::uint64_t wanted_space = 64 * megabyte; // a full outbox, its log, and some

std::string reason(int error)
{
    return std::generic_category().message(error);
}

// The folder itself, or what of its path is there already.
fs::path existing_part(fs::path folder)
{
    folder = fs::absolute(folder);
    std::error_code ignored;
    while (!fs::exists(folder, ignored) && folder.has_relative_path())
        folder = folder.parent_path();
    return folder;
}

bool may_use(const fs::path& folder)
{
    return ::faccessat(AT_FDCWD, folder.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) == 0;
}

Finding state_folder_of(const fs::path& folder)
{
    const std::string name = "state folder";
    const fs::path there = existing_part(folder);
    std::error_code ignored;
    if (!fs::is_directory(there, ignored))
        return wrong(name, there.string() + " is no folder", "name another one with --state");
    if (!may_use(there)) {
        return wrong(name, fmt::format("{}: {}", there.string(), reason(errno)),
                     "run this as the meter's user, or name another folder with --state");
    }
    if (there != fs::absolute(folder))
        return well(name, folder.string() + " is not there yet; the first run makes it");
    return well(name, folder.string());
}

Finding modes_of(const fs::path& folder)
{
    const std::string name = "file modes";
    for (const fs::path& path : {folder, folder / "meter.sqlite", folder / "lock"}) {
        struct stat status {};
        if (::stat(path.c_str(), &status) != 0)
            continue; // others tell
        if ((status.st_mode & 0022U) != 0) {
            return wrong(name,
                         fmt::format("{} may be changed by others (mode {:04o})", path.string(),
                                     status.st_mode & 07777U),
                         fmt::format("chmod go-w {}", path.string()));
        }
    }
    return well(name, "nobody else may change the register");
}

Finding space_of(const fs::path& folder)
{
    struct statvfs disk {};
    const fs::path there = existing_part(folder);
    if (::statvfs(there.c_str(), &disk) != 0) {
        return wrong("free space", fmt::format("{}: {}", there.string(), reason(errno)),
                     "run this as the meter's user, or name another folder with --state");
    }
    return free_space(std::uint64_t{disk.f_bavail} * disk.f_frsize);
}

Finding register_of(const fs::path& folder, SqliteMeterStore& store, const MeterSettings* settings)
{
    const std::string name = "register";
    const std::string owner = store.owner();
    if (settings != nullptr && !owner.empty() && owner != owner_text(*settings)) {
        return wrong(
            name, fmt::format("this folder keeps that of meter {}, not of {}", owner, owner_text(*settings)),
            remedy_for_owner(folder, owner, owner_text(*settings)));
    }
    std::string values;
    for (const Source source : {Source::measured, Source::simulated}) {
        const auto stored = store.load(source);
        if (!stored)
            continue;
        const RegisterValue value = value_of(*stored);
        const bool is_run = values.empty(); // beside a measured register the simulated one rests
        if (settings != nullptr && is_run && value.constant != settings->constant) {
            return wrong(name,
                         fmt::format("the {} one was counted at {} imp/kWh, the configuration says {}",
                                     text(source), value.constant.imp_per_kwh,
                                     settings->constant.imp_per_kwh),
                         fmt::format("set imp_per_kwh back, or set the register anew with meter-pi register "
                                     "set{}",
                                     source == Source::simulated ? " --simulated" : ""));
        }
        values += fmt::format("{}{} kWh {}", values.empty() ? "" : ", ", kilowatt_hours_text(energy(value)),
                              text(source));
    }
    return well(name, values.empty() ? "empty" : values);
}

Finding held_of(SqliteMeterStore& store)
{
    const auto held = store.held_size();
    const auto waiting = store.outbox_size();
    if (held > 0) {
        return wrong("held readings", fmt::format("the server refused {}", held),
                     "see `meter-server held list` there, and accept or discard them");
    }
    return well("held readings", fmt::format("none; {} readings wait for confirmation", waiting));
}

std::vector<Finding> store_of(const fs::path& folder, const MeterSettings* settings)
{
    std::error_code ignored;
    if (!fs::exists(folder / "meter.sqlite", ignored)) {
        const std::string why = "no meter has run here yet";
        return {well("register", why), not_looked_at("held readings", why)};
    }
    try {
        SqliteMeterStore store(folder, StoreAccess::look);
        return {register_of(folder, store, settings), held_of(store)};
    } catch (const std::exception& failure) {
        return {wrong("register", failure.what()),
                not_looked_at("held readings", "the register can't be read")};
    }
}

} // namespace

Configuration configuration(const fs::path& file)
{
    try {
        MeterSettings settings = read_meter_settings(file);
        return {{well("configuration", fmt::format("{}: meter {}, {} imp/kWh, a reading every {} s",
                                                   file.string(), settings.id.text(),
                                                   settings.constant.imp_per_kwh, settings.interval.count())),
                 well("key", "there, and only its owner may read it")},
                std::move(settings)};
    } catch (const std::exception& failure) {
        return {
            {wrong("configuration", failure.what()), not_looked_at("key", "the configuration can't be read")},
            std::nullopt};
    }
}

Running running_meter(const std::filesystem::path& state)
{
    const fs::path lock = state / "lock";
    if (::faccessat(AT_FDCWD, lock.c_str(), R_OK, AT_EACCESS) != 0) {
        const bool none = errno == ENOENT || errno == ENOTDIR;
        return {none ? Running::Seen::nobody : Running::Seen::nothing, ""};
    }
    try {
        const std::string content = read_file(lock); // "123 meter-pi\n", empty when free
        const auto space = content.find(' ');
        if (space == std::string::npos || content.empty() || content.back() != '\n')
            return {};
        const std::string pid = content.substr(0, space);
        const std::string program = content.substr(space + 1, content.size() - space - 2);
        // A killed one leaves its name behind; whoever has its number now has another name.
        if (pid.find_first_not_of("0123456789") != std::string::npos ||
            read_file("/proc/" + pid + "/comm") != program + "\n")
            return {};
        return {Running::Seen::meter, fmt::format("{} (pid {})", program, pid)};
    } catch (const std::exception&) {
        return {};
    }
}

Finding clock(Clock clock)
{
    if (clock == Clock::synchronised)
        return well("clock", "synchronised");
    return wrong("clock",
                 "not synchronised, so the times of readings are not to be trusted (counting goes on)",
                 "sudo timedatectl set-ntp true, then wait a minute");
}

Finding free_space(std::uint64_t bytes)
{
    const std::string found = fmt::format("{} MB", bytes / megabyte);
    if (bytes < wanted_space) {
        return wrong("free space", found,
                     fmt::format("free some: a full outbox wants {} MB", wanted_space / megabyte));
    }
    return well("free space", found);
}

std::vector<Finding> state(const fs::path& folder, const MeterSettings* settings)
{
    const Finding usable = state_folder_of(folder);
    if (usable.health == Health::wrong) {
        const std::string why = "the state folder can't be used";
        return {usable,
                not_looked_at("file modes", why),
                space_of(folder),
                not_looked_at("running", why),
                not_looked_at("register", why),
                not_looked_at("held readings", why)};
    }
    std::vector<Finding> findings{usable, modes_of(folder), space_of(folder)};
    const Running running = running_meter(folder);
    findings.push_back(well("running", running.seen == Running::Seen::meter
                                           ? running.who + " has the folder's lock, as it should"
                                           : "no meter-pi runs on this folder now"));
    for (Finding& finding : store_of(folder, settings))
        findings.push_back(std::move(finding));
    return findings;
}

Source register_source(const fs::path& folder)
{
    try {
        SqliteMeterStore store(folder, StoreAccess::look);
        const bool only_simulated = !store.load(Source::measured) && store.load(Source::simulated);
        return only_simulated ? Source::simulated : Source::measured;
    } catch (const std::exception&) {
        return Source::measured; // what is wrong with it is told by state()
    }
}

} // namespace pulsemeter::doctor
