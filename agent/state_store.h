/// The agent's state directory: who this agent is, what it has seen, and where everything else
/// lies.
///
///   STATE/ agent.key agent.crt authority.crt orchestrator.pub recovery.pub   from enrolment
///          incarnation     a UUID made with the directory: a new one means an empty journal
///          witness         the last orchestrator command obeyed
///          journal         executed effects (journal.h)
///          anchors         the last anchors of the orchestrator's log (anchor_store.h)
///          exposures/      disks that root gave to drover (exposure.h)
///          reverse_exposures/   sources' disks that may take back what a target's users wrote
///          fences/         one marker per fence (fence_store.h)
///          guards/         sockets and pid files of the guard processes (guard.h)
///          jobs/JOB-SIDE/  replication state of one side of one job
///          lock            held by whoever may change the above
///          agent.sock      the running agent's local control socket
#pragma once

#include "base/file.h"
#include "base/random.h"
#include "base/result.h"
#include "schemas/session.h"
#include "wire/identity.h"

#include <filesystem>
#include <string>

namespace drover::agent {

/// What makes this machine this machine, and this boot this boot.
struct HostIdentity {
    std::string id;       ///< machine-id, else the DMI product uuid
    std::string boot_id;  ///< /proc/sys/kernel/random/boot_id

    bool operator==(const HostIdentity&) const = default;
};

[[nodiscard]] Result<HostIdentity> read_host_identity();

struct StatePaths {
    std::filesystem::path root;

    [[nodiscard]] std::filesystem::path journal() const { return root / "journal"; }

    [[nodiscard]] std::filesystem::path anchors() const { return root / "anchors"; }

    [[nodiscard]] std::filesystem::path fences() const { return root / "fences"; }

    [[nodiscard]] std::filesystem::path exposures() const { return root / "exposures"; }

    [[nodiscard]] std::filesystem::path reverse_exposures() const {
        return root / "reverse_exposures";
    }

    [[nodiscard]] std::filesystem::path guards() const { return root / "guards"; }

    [[nodiscard]] std::filesystem::path jobs() const { return root / "jobs"; }

    [[nodiscard]] std::filesystem::path control_socket() const { return root / "agent.sock"; }

    [[nodiscard]] std::filesystem::path job(const JobId& job, Side side) const {
        return jobs() / (job.hex() + "-" + std::string(name_of(side)));
    }
};

/// The enrolled identity. `orchestrator_public_pem` verifies tickets.
struct AgentIdentity {
    std::string name;
    wire::TlsIdentity tls;
    std::string orchestrator_public_pem;
    std::string recovery_public_pem;  ///< verifies a restore with a loss; empty: none is believed
};

/// Errors: not_found ("not_enrolled").
[[nodiscard]] Result<AgentIdentity> load_identity(const StatePaths& paths, const std::string& name);

/// Writes all files of an enrolment, the certificate last: it makes the enrolment complete.
[[nodiscard]] Result<> store_identity(const StatePaths& paths, const AgentIdentity& identity);

/// The directories below the root. Idempotent.
[[nodiscard]] Result<> make_state_directories(const StatePaths& paths);

/// Made on first call, the same ever after.
[[nodiscard]] Result<Uuid> load_incarnation(const StatePaths& paths, Random& random);

/// A Witness with seq 0 if there is none yet. A damaged one is an error, never "none".
[[nodiscard]] Result<Witness> load_witness(const StatePaths& paths);
[[nodiscard]] Result<> store_witness(const StatePaths& paths, const Witness& witness);

/// The public half of the recovery key, or nothing if the enrolment brought none.
[[nodiscard]] Result<std::string> load_recovery_key(const StatePaths& paths);

/// Exclusive right to change the state directory, for as long as the Fd lives. Errors: unavailable
/// ("state_in_use") while another process has it.
[[nodiscard]] Result<Fd> lock_state(const StatePaths& paths);

}  // namespace drover::agent
