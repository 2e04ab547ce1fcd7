#include "agent/exposure.h"

#include "agent/json_file.h"

namespace drover::agent {
namespace {

Error not_exposed(const std::string& path) {
    return Error(Errc::denied, "target_not_exposed", path + " was not given to drover on this host",
                 "the disk was not opened for writing",
                 "as root on this host: drover-agent expose --config FILE " + path);
}

Error changed(const Exposure& exposed, const HostDisk& found) {
    std::string detail = exposed.path + " is not the disk that was exposed: ";
    if (exposed.identity != found.facts.identity)
        detail +=
            "identity \"" + exposed.identity + "\" then, \"" + found.facts.identity + "\" now";
    else if (exposed.size_bytes != found.facts.size_bytes)
        detail += std::to_string(exposed.size_bytes) + " bytes then, " +
                  std::to_string(found.facts.size_bytes) + " now";
    else
        detail += "it has no stable identity and was attached anew";
    return Error(Errc::denied, "target_identity_changed", detail,
                 "neither disk was written since the change",
                 "attach the right disk, or expose this one with drover-agent expose");
}

}  // namespace

std::filesystem::path ExposureStore::file_of(const std::string& path) const {
    return directory_ / to_hex(as_bytes(path));
}

Result<std::vector<Exposure>> ExposureStore::all() const {
    TRY(const auto files, list_files(directory_));
    std::vector<Exposure> out;
    for (const auto& file : files) {
        TRY(const Fields fields, Fields::load(file));
        Exposure exposure;
        TRY(exposure.path, fields.text("path"));
        TRY(exposure.identity, fields.text("identity"));
        TRY(exposure.size_bytes, fields.number("size_bytes"));
        TRY(exposure.diskseq, fields.number("diskseq"));
        TRY(exposure.boot_id, fields.text("boot"));
        TRY(const std::uint64_t may_be_lost, fields.number("override_not_blank"));
        exposure.override_not_blank = may_be_lost != 0;
        out.push_back(std::move(exposure));
    }
    return out;
}

Result<Exposure> ExposureStore::find(const std::string& path) const {
    TRY(const std::vector<Exposure> exposures, all());
    for (const Exposure& exposure : exposures)
        if (exposure.path == path) return exposure;
    return not_exposed(path);
}

Result<bool> ExposureStore::has(const std::string& path) const {
    const auto found = find(path);
    if (!found && found.error().id() != "target_not_exposed") return found.error();
    return found.has_value();
}

Result<> ExposureStore::store(const Exposure& exposure) const {
    Fields fields;
    fields.set("path", exposure.path);
    fields.set("identity", exposure.identity);
    fields.set_number("size_bytes", exposure.size_bytes);
    fields.set_number("diskseq", exposure.diskseq);
    fields.set("boot", exposure.boot_id);
    fields.set_number("override_not_blank", exposure.override_not_blank ? 1 : 0);
    return fields.store(file_of(exposure.path));
}

Result<> ExposureStore::remove(const std::string& path) const {
    return remove_file_durably(file_of(path));
}

Result<Exposure> check_exposed(const ExposureStore& store, HostOps& host, const std::string& path) {
    TRY(const Exposure exposed, store.find(path));
    TRY(const HostDisk found, host.look_up(path));
    const bool same =
        exposed.identity == found.facts.identity && exposed.size_bytes == found.facts.size_bytes;
    // Without an identity only the kernel's number of the attachment tells this disk from another,
    // and only until the next boot.
    const bool same_attachment =
        !exposed.identity.empty() ||
        (exposed.boot_id == host.identity().boot_id && exposed.diskseq == found.diskseq);
    if (!same || !same_attachment) return changed(exposed, found);
    return exposed;
}

Result<> check_unused(HostOps& host, const std::string& path) {
    TRY(const std::vector<DiskUse> uses, host.uses(path));
    if (uses.empty()) return {};
    return Error(Errc::unavailable, "target_in_use", path + " is in use: " + uses.front().detail,
                 "everything on it, nothing was written",
                 "end that use (unmount, swapoff, stop the volume group) or name another disk");
}

Result<> check_not_own(HostOps& host, const std::string& path) {
    TRY(const std::vector<std::string> own, host.own_files_on(path));
    if (own.empty()) return {};
    return Error(
        Errc::denied, "root_disk", path + " carries " + own.front() + " of this host",
        "everything on it, nothing was written",
        "a whole-server move needs a landing environment; for data disks, name another disk");
}

Result<Exposure> expose_disk(const ExposureStore& store, HostOps& host, const std::string& path,
                             const std::string& override_identity) {
    TRY_VOID(check_not_own(host, path));
    TRY(const HostDisk disk, host.look_up(path));
    TRY_VOID(check_unused(host, path));
    const std::string& name = disk.facts.identity.empty() ? path : disk.facts.identity;
    if (!override_identity.empty() && override_identity != name)
        return Error(Errc::denied, "override_mismatch",
                     "--override-not-blank names \"" + override_identity + "\", but " + path +
                         " is \"" + name + "\"",
                     "everything on it, nothing was changed",
                     "look again which disk may be lost, then name its identity");
    if (override_identity.empty()) TRY_VOID(host.check_blank(path));
    const Exposure exposure{path,         disk.facts.identity,     disk.facts.size_bytes,
                            disk.diskseq, host.identity().boot_id, !override_identity.empty()};
    TRY_VOID(host.hide_from_udev(path));
    TRY_VOID(store.store(exposure));
    return exposure;
}

Result<Exposure> expose_reverse(const ExposureStore& store, HostOps& host,
                                const std::string& path) {
    TRY_VOID(check_not_own(host, path));
    TRY(const HostDisk disk, host.look_up(path));
    const Exposure exposure{path,         disk.facts.identity,     disk.facts.size_bytes,
                            disk.diskseq, host.identity().boot_id, false};
    TRY_VOID(store.store(exposure));
    return exposure;
}

Result<Exposure> check_reverse_exposed(const StatePaths& paths, HostOps& host,
                                       const std::string& path) {
    const ExposureStore store(paths.reverse_exposures());
    TRY(const bool is_given, store.has(path));
    if (is_given) return check_exposed(store, host, path);
    return Error(Errc::denied, "reverse_not_exposed",
                 path + " was not opened for what may come back from a target",
                 "the disk as it was fenced",
                 "as root on this host: drover-agent expose --reverse --config FILE " + path);
}

Result<> unexpose_disk(const ExposureStore& store, HostOps& host, const std::string& path) {
    TRY(const Exposure exposed, store.find(path));
    TRY_VOID(store.remove(exposed.path));
    auto shown = host.show_to_udev(path);
    // A disk that is gone needs no rule; whoever attaches it again exposes it again.
    if (!shown && shown.error().code() != Errc::not_found) return shown.error();
    return {};
}

}  // namespace drover::agent
