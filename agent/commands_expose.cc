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
};

Result<std::unique_ptr<Exposing>> prepare(const std::filesystem::path& config) {
    auto out = std::make_unique<Exposing>();
    TRY(out->opened, open_config(config));
    if (!out->opened.config.is_target)
        return Error(Errc::conflict, "role_missing", "this agent is not configured as a target",
                     "nothing was changed", "add \"target\" to roles in agent.toml");
    TRY(const HostIdentity identity, read_host_identity());
    TRY_VOID(make_state_directories(out->opened.paths));
    out->host = std::make_unique<HostLinux>(
        HostLinuxOptions{identity, out->opened.paths, own_program(), {}, 1}, out->random);
    out->store = std::make_unique<ExposureStore>(out->opened.paths.exposures());
    return out;
}

}  // namespace

int expose_command(const ExposeArguments& arguments) {
    auto prepared = prepare(arguments.config);
    if (!prepared) return fail_locally(prepared.error());
    Exposing& with = **prepared;
    auto exposed =
        expose_disk(*with.store, *with.host, arguments.disk, arguments.override_identity);
    if (!exposed) return fail_locally(exposed.error());
    const std::string size = std::to_string(exposed->size_bytes);
    say_done(arguments.format,
             {{"exposed", exposed->path}, {"identity", exposed->identity}, {"size_bytes", size}},
             "exposed " + exposed->path + "  identity " +
                 (exposed->identity.empty() ? "(none)" : exposed->identity) + "  " + size +
                 " bytes");
    if (exposed->identity.empty())
        std::cerr
            << "note: the disk has no stable identity; after a reboot, or when it is attached "
               "anew, expose it again\n";
    return exit_ok;
}

int unexpose_command(const ExposeArguments& arguments) {
    auto prepared = prepare(arguments.config);
    if (!prepared) return fail_locally(prepared.error());
    auto done = unexpose_disk(*(*prepared)->store, *(*prepared)->host, arguments.disk);
    if (!done) return fail_locally(done.error());
    say_done(arguments.format, {{"unexposed", arguments.disk}},
             arguments.disk + " is no longer open to drover");
    return exit_ok;
}

}  // namespace drover::agent
