#include "agent/job_record.h"

#include "agent/json_file.h"
#include "schemas/codec.h"

#include <algorithm>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

Error damaged(const fs::path& path) {
    return Error(Errc::corrupt, "record_damaged", path.native() + " is damaged",
                 "nothing was changed", "restore the state directory from a backup");
}

/// What is at each path now, told apart by identity, or by attachment where there is none.
Result<std::vector<std::string>> identities(const std::vector<std::string>& disks, HostOps& host) {
    std::vector<std::string> out;
    for (const std::string& path : disks) {
        TRY(const HostDisk disk, host.look_up(path));
        std::string id = disk.facts.identity;
        if (id.empty())
            id = host.identity().boot_id + " attachment " + std::to_string(disk.diskseq);
        out.push_back(path + " " + id + " " + std::to_string(disk.facts.size_bytes));
    }
    return out;
}

}  // namespace

std::vector<std::string> ReplicateRecord::disks(Side side) const {
    std::vector<std::string> out;
    for (const DiskPair& pair : work().ticket.disks)
        out.push_back(side == Side::source ? pair.source : pair.target);
    return out;
}

Result<std::optional<ReplicateRecord>> load_replicate(const fs::path& job_directory) {
    const fs::path file = job_directory / "replicate";
    auto bytes = read_file(file);
    if (!bytes && bytes.error().code() == Errc::not_found) return std::optional<ReplicateRecord>();
    if (!bytes) return bytes.error();
    if (bytes->size() < 5 || get_u32(*bytes, 0) != crc32c(ByteView(*bytes).subspan(4)))
        return damaged(file);
    ReplicateRecord record;
    record.wanted = (*bytes)[4] != 0;
    TRY(record.effect, decode_effect(ByteView(*bytes).subspan(5)));
    if (!std::holds_alternative<ReplicateWork>(record.effect.work)) return damaged(file);
    return std::optional(std::move(record));
}

/// Layout: CRC-32C of the rest, wanted u8, encoded effect.
Result<> store_replicate(const fs::path& job_directory, const ReplicateRecord& record) {
    TRY_VOID(make_directory_durably(job_directory));
    Bytes rest{static_cast<std::uint8_t>(record.wanted ? 1 : 0)};
    put_bytes(rest, encode_effect(record.effect));
    Bytes out;
    put_u32(out, crc32c(rest));
    put_bytes(out, rest);
    return write_file_durably(job_directory / "replicate", out);
}

Result<bool> owns_disks(const fs::path& job_directory, const std::vector<std::string>& disks,
                        HostOps& host) {
    auto fields = Fields::load(job_directory / "owned");
    if (!fields && fields.error().code() == Errc::not_found) return false;
    if (!fields) return fields.error();
    TRY(const std::vector<std::string> owned, fields->list("disks"));
    TRY(const std::vector<std::string> present, identities(disks, host));
    return owned == present;
}

Result<> store_owned(const fs::path& job_directory, const std::vector<std::string>& disks,
                     HostOps& host) {
    TRY_VOID(make_directory_durably(job_directory));
    TRY(const std::vector<std::string> present, identities(disks, host));
    Fields fields;
    fields.set_list("disks", present);
    return fields.store(job_directory / "owned");
}

Result<std::vector<JobDirectory>> list_jobs(const StatePaths& paths) {
    TRY(const auto directories, list_files(paths.jobs()));
    std::vector<JobDirectory> out;
    for (const fs::path& directory : directories) {
        const std::string name = directory.filename().native();
        const std::size_t dash = name.find('-');
        const auto job = JobId::from_hex_text(name.substr(0, dash));
        if (!job || dash == std::string::npos) continue;
        const std::string side = name.substr(dash + 1);
        if (side == name_of(Side::source)) out.push_back({*job, Side::source});
        if (side == name_of(Side::target)) out.push_back({*job, Side::target});
    }
    return out;
}

Result<> check_of_no_other_job(const StatePaths& paths, const JobId& job,
                               const std::vector<std::string>& disks, HostOps& host) {
    TRY(const std::vector<std::string> wanted, identities(disks, host));
    TRY(const auto known, list_jobs(paths));
    for (const JobDirectory& other : known) {
        if (other.side != Side::target || other.job == job) continue;
        const fs::path directory = paths.job(other.job, other.side);
        const auto fields = Fields::load(directory / "owned");
        if (!fields && fields.error().code() == Errc::not_found) continue;
        if (!fields) return fields.error();
        TRY(const std::vector<std::string> owned, fields->list("disks"));
        for (std::size_t i = 0; i < disks.size(); ++i) {
            if (std::find(owned.begin(), owned.end(), wanted[i]) == owned.end()) continue;
            return Error(
                Errc::conflict, "disk_of_other_job",
                disks[i] + " belongs to job " + uuid_text(other.job),
                "the disk; nothing was written",
                "end that job with its clean-up; if no management server knows it any more "
                "and nobody needs what is on the disk, remove " +
                    directory.native());
        }
    }
    return {};
}

Result<> remove_job_directory(const fs::path& job_directory) {
    return remove_directory_durably(job_directory);
}

}  // namespace drover::agent
