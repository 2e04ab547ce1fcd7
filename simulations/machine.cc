#include "simulations/machine.h"

#include "base/assert.h"

#include <utility>

namespace drover::sim {

Machine::Machine(std::string a_name, Dice dice)
    : name(std::move(a_name)),
      dice_(dice) {
    identity.id = "machine-" + name;
    boot();
}

void Machine::boot() {
    identity.boot_id = name + "-boot-" + std::to_string(++boots_);
}

Disk& Machine::add_disk(const std::string& path, std::uint64_t blocks) {
    const auto [disk, added] = disks.try_emplace(path, path, "wwid:" + name + path, blocks);
    DROVER_ASSERT(added);
    disk->second.diskseq = ++attachments_;
    return disk->second;
}

Disk* Machine::find(const std::string& path) {
    const auto found = disks.find(path);
    return found == disks.end() ? nullptr : &found->second;
}

Workload* Machine::workload(const std::string& job) {
    const auto found = workloads.find(job);
    return found == workloads.end() ? nullptr : &found->second;
}

void Machine::reboot(bool power_lost) {
    go_down(power_lost);
    come_up();
}

void Machine::go_down(bool power_lost) {
    is_up_ = false;
    boot();
    guards.clear();
    for (auto& [job, workload] : workloads) workload.running = false;
    trials.clear();
    for (auto& [plan, layers] : overlays)
        for (Overlay& each : layers) each.is_attached = !each.is_loop;
    for (auto& [path, disk] : disks) {
        if (power_lost)
            disk.lose_power(dice_);
        else
            disk.flush();
        disk.forget_boot();
        if (!disk.identity.empty()) continue;
        disk.hidden = false;
        disk.diskseq = ++attachments_;
    }
}

void Machine::come_up() {
    is_up_ = true;
    for (auto& [job, workload] : workloads)
        if (!workload.masked) (void)start(workload);
}

bool Machine::write_as_user(Disk& disk, std::uint64_t block) {
    const Version before = disk.now().at(block);
    disk.write(block, next_version());
    if (on_user_write) on_user_write(disk, block, before);
    return true;
}

bool Machine::write_as_workload(const std::string& job, std::uint64_t disk_index,
                                std::uint64_t block) {
    const Workload* const writer = workload(job);
    if (writer == nullptr || !writer->running) return false;
    Disk* const disk = find(writer->disks.at(disk_index));
    if (disk == nullptr || !disk->present || !disk->mounted) return false;
    return write_as_user(*disk, block);
}

bool Machine::write_as_stray(const std::string& path, std::uint64_t block) {
    Disk* const disk = find(path);
    if (disk == nullptr || !disk->present || !disk->guard.empty()) return false;
    return write_as_user(*disk, block);
}

bool Machine::start(Workload& workload) {
    if (workload.running) return true;
    std::vector<Disk*> used;
    for (const std::string& path : workload.disks) {
        Disk* const disk = find(path);
        const bool can_be_mounted = disk != nullptr && disk->present && disk->guard.empty() &&
                                    !disk->read_only && !disk->hidden;
        if (!can_be_mounted) return false;
        used.push_back(disk);
    }
    for (Disk* const disk : used) disk->mounted = true;
    workload.running = true;
    return true;
}

void Machine::stop(Workload& workload) {
    workload.running = false;
}

Overlay* Machine::overlay(const std::string& path) {
    for (auto& [plan, layers] : overlays)
        for (Overlay& each : layers)
            if (each.path == path) return &each;
    return nullptr;
}

bool Machine::start_trial(const std::string& job, const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
        const Overlay* const found = overlay(path);
        if (found == nullptr || !found->is_attached) return false;
    }
    trials[job] = paths;
    for (std::uint64_t disk = 0; disk < paths.size(); ++disk) (void)write_as_trial(job, disk, 0);
    return true;
}

void Machine::stop_trial(const std::string& job) {
    trials.erase(job);
}

bool Machine::write_as_trial(const std::string& job, std::uint64_t disk_index,
                             std::uint64_t block) {
    const auto trial = trials.find(job);
    if (trial == trials.end()) return false;
    Overlay* const written = overlay(trial->second.at(disk_index));
    DROVER_ASSERT(written != nullptr);
    written->written[block] = next_version();
    return true;
}

void Machine::rot(const std::string& path, std::uint64_t block) {
    Disk* const disk = find(path);
    DROVER_ASSERT(disk != nullptr);
    disk->rot(block);
    for (auto& [plan, layers] : overlays)
        for (Overlay& each : layers)
            if (each.disk == path) each.base.at(block) = disk->now().at(block);
}

Uuid Machine::draw_uuid() {
    Uuid uuid;
    for (std::uint8_t& byte : uuid.data) byte = static_cast<std::uint8_t>(dice_.next());
    return uuid;
}

}  // namespace drover::sim
