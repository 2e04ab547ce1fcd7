#include "agent/state_store.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>

namespace drover::agent {
namespace {

constexpr std::size_t small_file_bytes_max = 64U << 10;
constexpr std::string_view witness_magic = "drover-witness1\n";
constexpr std::size_t witness_bytes = 16 + 16 + 4 + 8 + 32 + 4;

std::string trimmed(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
}

/// The trimmed text of the first of `paths` that has any.
std::string first_text(std::initializer_list<const char*> paths) {
    for (const char* path : paths) {
        auto text = read_text(path, 4096);
        if (!text) continue;
        std::string value = trimmed(*std::move(text));
        if (!value.empty()) return value;
    }
    return {};
}

Error witness_damaged(const StatePaths& paths) {
    return Error(Errc::corrupt, "witness_damaged",
                 (paths.root / "witness").native() + " is damaged", "nothing was executed",
                 "restore the file from a backup, or enrol this agent anew as a replacement");
}

}  // namespace

Result<HostIdentity> read_host_identity() {
    HostIdentity identity;
    // Both where both exist: clones of a virtual machine share the first and differ in the second.
    const std::string machine = first_text({"/etc/machine-id", "/var/lib/dbus/machine-id"});
    const std::string hardware = first_text({"/sys/class/dmi/id/product_uuid"});
    identity.id =
        machine.empty() || hardware.empty() ? machine + hardware : machine + "+" + hardware;
    identity.boot_id = first_text({"/proc/sys/kernel/random/boot_id"});
    if (identity.id.empty() || identity.boot_id.empty())
        return Error(Errc::unsupported, "host_unidentified",
                     "neither /etc/machine-id nor a DMI uuid names this host",
                     "nothing was changed", "run systemd-machine-id-setup, then start again");
    return identity;
}

Result<AgentIdentity> load_identity(const StatePaths& paths, const std::string& name) {
    AgentIdentity identity;
    identity.name = name;
    const std::pair<const char*, std::string*> files[] = {
        {"agent.crt", &identity.tls.certificate_pem},
        {"agent.key", &identity.tls.key_pem},
        {"authority.crt", &identity.tls.authority_pem},
        {"orchestrator.pub", &identity.orchestrator_public_pem}};
    for (const auto& [file, text] : files) {
        auto contents = read_text(paths.root / file, small_file_bytes_max);
        if (!contents)
            return Error(Errc::not_found, "not_enrolled", contents.error().detail(),
                         "nothing was changed", "run drover-agent enroll first");
        *text = *std::move(contents);
    }
    TRY(identity.recovery_public_pem, load_recovery_key(paths));
    return identity;
}

Result<> store_identity(const StatePaths& paths, const AgentIdentity& identity) {
    TRY_VOID(make_directory_durably(paths.root));
    TRY_VOID(write_file_durably(paths.root / "agent.key", as_bytes(identity.tls.key_pem), 0600));
    TRY_VOID(
        write_file_durably(paths.root / "authority.crt", as_bytes(identity.tls.authority_pem)));
    TRY_VOID(write_file_durably(paths.root / "orchestrator.pub",
                                as_bytes(identity.orchestrator_public_pem)));
    if (!identity.recovery_public_pem.empty())
        TRY_VOID(write_file_durably(paths.root / "recovery.pub",
                                    as_bytes(identity.recovery_public_pem)));
    return write_file_durably(paths.root / "agent.crt", as_bytes(identity.tls.certificate_pem));
}

Result<> make_state_directories(const StatePaths& paths) {
    for (const auto& directory : {paths.root, paths.fences(), paths.exposures(),
                                  paths.reverse_exposures(), paths.guards(), paths.jobs()})
        TRY_VOID(make_directory_durably(directory));
    return {};
}

Result<Uuid> load_incarnation(const StatePaths& paths, Random& random) {
    const auto path = paths.root / "incarnation";
    auto text = read_text(path, small_file_bytes_max);
    if (text) {
        const auto uuid = uuid_from_text(trimmed(*text));
        if (uuid) return *uuid;
        return Error(Errc::corrupt, "incarnation_damaged", path.native() + " is damaged",
                     "nothing was executed", "restore the state directory from a backup");
    }
    if (text.error().code() != Errc::not_found) return text.error();
    const Uuid made = random.uuid();
    TRY_VOID(write_file_durably(path, as_bytes(uuid_text(made) + "\n")));
    return made;
}

/// Layout: magic, lineage, epoch u32, seq u64, hash, CRC-32C of all before it.
Result<> store_witness(const StatePaths& paths, const Witness& witness) {
    Bytes out;
    put_bytes(out, as_bytes(witness_magic));
    put_bytes(out, witness.lineage.view());
    put_u32(out, witness.epoch);
    put_u64(out, witness.seq);
    put_bytes(out, witness.hash.view());
    put_u32(out, crc32c(out));
    return write_file_durably(paths.root / "witness", out);
}

Result<Witness> load_witness(const StatePaths& paths) {
    auto contents = read_file(paths.root / "witness", small_file_bytes_max);
    if (!contents && contents.error().code() == Errc::not_found) return Witness{};
    if (!contents) return contents.error();
    const ByteView bytes(*contents);
    if (bytes.size() != witness_bytes || as_text(bytes.first(16)) != witness_magic ||
        get_u32(bytes, witness_bytes - 4) != crc32c(bytes.first(witness_bytes - 4)))
        return witness_damaged(paths);
    Witness witness;
    witness.lineage = *Uuid::from(bytes.subspan(16, 16));
    witness.epoch = get_u32(bytes, 32);
    witness.seq = get_u64(bytes, 36);
    witness.hash = *Hash::from(bytes.subspan(44, 32));
    return witness;
}

Result<std::string> load_recovery_key(const StatePaths& paths) {
    auto text = read_text(paths.root / "recovery.pub", small_file_bytes_max);
    if (!text && text.error().code() == Errc::not_found) return std::string();
    return text;
}

Result<Fd> lock_state(const StatePaths& paths) {
    const auto path = paths.root / "lock";
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK) return errno_error(errno, "lock", path.native());
    return Error(Errc::unavailable, "state_in_use",
                 paths.root.native() + " is in use by another drover-agent", "nothing was changed",
                 "stop that process, or let it do the work");
}

}  // namespace drover::agent
