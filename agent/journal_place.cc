#include "agent/journal_place.h"

#include "agent/block_nodes.h"
#include "replicator/journal_file.h"
#include "replicator/journal_format.h"

#include <algorithm>
#include <cerrno>

#include <sys/stat.h>

namespace drover::agent {
namespace {

Error on_job_disk(const std::string& directory, const std::string& disk) {
    return Error(Errc::unsupported, "journal_on_job_disk",
                 directory + " lies on " + disk + ", which the job overwrites",
                 "everything on that disk", "name a directory on another disk");
}

}  // namespace

Result<std::optional<replicator::JournalPlace>> journal_place(
    const Config& config, const std::vector<std::string>& disks) {
    using Place = std::optional<replicator::JournalPlace>;
    if (config.journal_directory.empty()) return Place();
    TRY_VOID(replicator::check_journal_directory(config.journal_directory));

    struct stat status {};

    if (::stat(config.journal_directory.c_str(), &status) != 0)
        return errno_error(errno, "look at", config.journal_directory.native());
    const std::vector<dev_t> below = disks_below(status.st_dev);
    for (const std::string& disk : disks) {
        TRY(const DiskNodes nodes, find_nodes(disk));
        const bool is_below = std::any_of(below.begin(), below.end(),
                                          [&](dev_t device) { return nodes.has(device); });
        if (is_below) return on_job_disk(config.journal_directory.native(), disk);
    }
    constexpr std::uint64_t block = replicator::journal_block_bytes;
    const std::uint64_t ring_bytes = (std::uint64_t{config.journal_mib} << 20) / 2 / block * block;
    replicator::JournalPlace place;
    place.directory = config.journal_directory;
    place.redo_bytes = ring_bytes;
    place.undo_bytes = ring_bytes;
    return Place(place);
}

}  // namespace drover::agent
