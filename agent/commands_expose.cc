#include "agent/commands.h"
#include "agent/exposure.h"
#include "agent/host_linux.h"

#include <iostream>

namespace drover::agent {
namespace {

/// Exposures are one file each, written whole: a running agent reads them at every open, so these
/// commands need no lock.
struct Exposing {
    Opened opened;
    SystemRandom random;
    std::unique_ptr<HostLinux> host;
    std::unique_ptr<ExposureStore> store;
    std::unique_ptr<ExposureStore> reverse;
};

Error role_missing(const std::string& role) {
    return Error(Errc::conflict, "role_missing", "this agent is not configured as a " + role,
                 "nothing was changed", "add \"" + role + "\" to roles in agent.toml");
}

Result<std::unique_ptr<Exposing>> prepare(const std::filesystem::path& config) {
    auto out = std::make_unique<Exposing>();
    TRY(out->opened, open_config(config));
    TRY(const HostIdentity identity, read_host_identity());
    TRY_VOID(make_state_directories(out->opened.paths));
    out->host = std::make_unique<HostLinux>(
        HostLinuxOptions{identity, out->opened.paths, own_program(), {}, 1}, out->random);
    out->store = std::make_unique<ExposureStore>(out->opened.paths.exposures());
    out->reverse = std::make_unique<ExposureStore>(out->opened.paths.reverse_exposures());
    return out;
}

Result<Exposure> expose(Exposing& with, const ExposeArguments& arguments) {
    const Config& config = with.opened.config;
    if (arguments.reverse) {
        if (!config.is_source) return role_missing("source");
        return expose_reverse(*with.reverse, *with.host, arguments.disk);
    }
    if (!config.is_target) return role_missing("target");
    return expose_disk(*with.store, *with.host, arguments.disk, arguments.override_identity);
}

/// Everything that was allowed for the disk.
Result<> unexpose(Exposing& with, const std::string& disk) {
    TRY(const bool is_reverse, with.reverse->has(disk));
    if (is_reverse) TRY_VOID(with.reverse->remove(disk));
    TRY(const bool is_target, with.store->has(disk));
    return is_reverse && !is_target ? Result<>() : unexpose_disk(*with.store, *with.host, disk);
}

}  // namespace

int expose_command(const ExposeArguments& arguments) {
    auto prepared = prepare(arguments.config);
    if (!prepared) return fail_locally(prepared.error());
    Exposing& with = **prepared;
    auto exposed = expose(with, arguments);
    if (!exposed) return fail_locally(exposed.error());
    const std::string size = std::to_string(exposed->size_bytes);
    say_done(arguments.format,
             {{"exposed", exposed->path}, {"identity", exposed->identity}, {"size_bytes", size}},
             (arguments.reverse ? "exposed for the way back " : "exposed ") + exposed->path +
                 "  identity " + (exposed->identity.empty() ? "(none)" : exposed->identity) + "  " +
                 size + " bytes");
    if (exposed->identity.empty())
        std::cerr
            << "note: the disk has no stable identity; after a reboot, or when it is attached "
               "anew, expose it again\n";
    return exit_ok;
}

int unexpose_command(const ExposeArguments& arguments) {
    auto prepared = prepare(arguments.config);
    if (!prepared) return fail_locally(prepared.error());
    auto done = unexpose(**prepared, arguments.disk);
    if (!done) return fail_locally(done.error());
    say_done(arguments.format, {{"unexposed", arguments.disk}},
             arguments.disk + " is no longer open to drover");
    return exit_ok;
}

}  // namespace drover::agent
