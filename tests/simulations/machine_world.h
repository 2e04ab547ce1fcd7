/// For the tests of the simulated disks, machines and hosts.
#pragma once

#include "base/sha256.h"
#include "simulations/machine.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace drover::sim::testing {

constexpr std::uint64_t blocks = 100;
inline const std::string path = "/dev/vdb";

inline JobId job_id(std::uint8_t number) {
    JobId id;
    id.data.fill(number);
    return id;
}

inline Generation generation(std::uint8_t number) {
    Generation id;
    id.data.fill(number);
    return id;
}

/// One machine with one disk and one workload on it, and the agent's way to it.
struct World {
    Scheduler scheduler{1, false};
    Environment environment;
    Machine machine{"alpha", Dice(7)};
    Disk& disk = machine.add_disk(path, blocks);
    Workload& workload = machine.workloads["shop"];
    std::unique_ptr<agent::HostOps> host = open_host(machine);
    const agent::GuardName guard{job_id(1), Side::source};
    std::vector<std::string> steps;

    World() {
        workload = {"shop", {path}};
        environment.on_step = [this](std::string_view step) { steps.emplace_back(step); };
    }

    /// In a process of its own, which ends with it.
    void in_process(const std::function<void()>& body) {
        const ProcessId process = scheduler.new_process();
        scheduler.spawn(process, body);
        scheduler.run_until(never);
        scheduler.kill(process);
    }

    agent::HookRun hook(const std::string& name, HookStep step = HookStep::pre_fence) const {
        return {{name, sha256(as_bytes(name))}, step, "shop", {path}, {}};
    }

    Result<> hold() { return host->hold_guard(guard, {path}); }

    std::unique_ptr<replicator::ChangeTracker> track(std::uint8_t fresh) {
        return track_simulated(disk, job_id(1), generation(fresh));
    }

    bool workload_writes(std::uint64_t block) {
        return machine.write_as_workload("shop", 0, block);
    }
};

inline std::string id_of(const Result<>& result) {
    return result ? "" : result.error().id();
}

inline Bytes block_of(Version version) {
    Bytes bytes;
    put_u64(bytes, version);
    bytes.resize(replicator::block_bytes);
    return bytes;
}

}  // namespace drover::sim::testing
