#include "agent/disk_wait.h"

#include "base/log.h"

namespace drover::agent {
namespace {

bool is_missing(HostOps& host, const std::string& disk) {
    const auto found = host.look_up(disk);
    return !found && found.error().code() == Errc::not_found;
}

}  // namespace

void wait_for_disks(HostOps& host, const std::vector<std::string>& disks) {
    std::int64_t waited_ms = 0;
    for (const std::string& disk : disks) {
        while (is_missing(host, disk) && waited_ms < disk_wait_ms_max) {
            if (waited_ms == 0) log::info("agent", "waiting for a disk", "disk=" + disk);
            host.wait_ms(disk_wait_step_ms);
            waited_ms += disk_wait_step_ms;
        }
    }
}

}  // namespace drover::agent
