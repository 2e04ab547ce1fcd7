// How each fault happens, and how it ends.
#include "simulations/invariants.h"
#include "simulations/world.h"

#include <array>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;
constexpr Micros boot_time = 40 * second;

Error failing(Errc code, const char* detail) {
    return Error(code, "file_error", detail);
}

void during(World& world, const Fault& fault, World::Trouble trouble) {
    const std::uint64_t id = world.add_trouble(std::move(trouble));
    world.scheduler.after(fault.lasts, [&world, id] { world.end_trouble(id); });
}

void cut(World& world, const Fault& fault, const std::string& from, const std::string& to) {
    world.network.cut(from, to);
    world.scheduler.after(fault.lasts, [&world, from, to] { world.network.heal(from, to); });
}

void pause(World& world, const Fault& fault, ProcessId process) {
    world.scheduler.freeze(process);
    world.scheduler.after(fault.lasts, [&world, process] { world.scheduler.thaw(process); });
}

void reboot(World& world, AgentHost& host, bool power_lost, Micros down) {
    if (host.is_running()) world.network.machine_died(host.machine.name);
    if (power_lost) world.environment.lose_power("/" + host.machine.name, world.journal_dice);
    world.environment.maps.erase(world.environment.maps.lower_bound("/" + host.machine.name + "/"),
                                 world.environment.maps.lower_bound("/" + host.machine.name + "0"));
    host.machine.go_down(power_lost);
    if (power_lost) world.power_lost(host);
    if (down != never)
        world.scheduler.after(down, [&host] {
            host.machine.come_up();
            host.start();
        });
    // Last: a process that does this to itself does not return.
    host.kill(never);
}

/// Now, or in the middle of something.
void lose_power(World& world, const Fault& fault, AgentHost& host) {
    const auto power_cut = [&world, &host] { reboot(world, host, true, boot_time); };
    if (fault.number % 2 == 0) return power_cut();
    world.kill_at_step(host.process(), 1 + fault.number / 2 % 60, power_cut);
}

/// At one of its next `steps` whose names begin with `prefix`.
void die_in(World& world, const Fault& fault, AgentHost& host, std::string prefix,
            std::uint64_t steps) {
    const auto die = [&world, &host, loses_power = fault.number % 2 == 0] {
        if (loses_power) return reboot(world, host, true, boot_time);
        host.kill(2 * second);
    };
    world.kill_at_step(host.process(), 1 + fault.number / 2 % steps, die, std::move(prefix));
}

/// Of the agent itself, or of what it does to the host.
void die_in_test(World& world, const Fault& fault, AgentHost& host) {
    if (fault.number % 3 == 0) return die_in(world, fault, host, "host.", 6);
    die_in(world, fault, host, "agent.test.", 8);
}

/// Between the steps of the way back, its journal's or its disk's, or anywhere.
void die_on_way_back(World& world, const Fault& fault, AgentHost& host) {
    struct Place {
        const char* prefix;
        std::uint64_t steps;
    };

    constexpr std::array places{Place{"agent.reverse.", 8}, Place{"journal.", 40},
                                Place{"disk.", 40}, Place{"", 200}};
    const Place& place = places.at(fault.number / 1024 % places.size());
    die_in(world, fault, host, place.prefix, place.steps);
}

void fail_test_hook(const Fault& fault, SimulatedJob& job) {
    constexpr std::array ways{HookFault::fails, HookFault::hangs, HookFault::lies};
    const std::string hook = (fault.number % 2 == 0 ? "try-" : "untry-") + job.name;
    job.target_machine->hook_faults[hook] = ways.at(fault.number / 2 % ways.size());
}

void kill_at_step(World& world, AgentHost& host, std::uint64_t number) {
    world.kill_at_step(host.process(), 1 + number % 60, [&host] { host.kill(2 * second); });
}

void clone_source(World& world, const Fault& fault, SimulatedJob& job) {
    // A name that was never heard belongs to whoever calls first.
    const orchestrator::Core* core = world.server->core();
    if (core == nullptr) return;
    const auto& agents = core->state().registry.agents;
    const auto known = agents.find(job.source->options.name);
    if (known == agents.end() || !known->second.described) return;
    job.cloned = true;
    const std::string name = job.source_machine->name + "c" + std::to_string(fault.index);
    auto machine = std::make_unique<Machine>(name, world.dice.fork(7'000 + fault.index));
    for (const auto& [path, disk] : job.source_machine->disks)
        (void)machine->add_disk(path, disk.blocks());
    world.environment.copy_tree(job.source_machine->state_root(), machine->state_root());
    auto agent =
        std::make_unique<AgentHost>(*machine, world.network, job.source->options, fault.number);
    agent->start();
    AgentHost* clone = agent.get();
    world.other_machines.push_back(std::move(machine));
    world.other_agents.push_back(std::move(agent));
    world.scheduler.after(fault.lasts, [clone] { clone->kill(never); });
}

/// Another droverd on the same log: the later one owns it.
void second_orchestrator(World& world, const Fault& fault) {
    if (!world.server->is_running()) return;
    auto other = std::make_unique<OrchestratorHost>("server-two-" + std::to_string(fault.index),
                                                    world.volume, world.network, fault.number);
    OrchestratorHost* two = other.get();
    world.adopt_server(*two);
    two->start();
    world.other_servers.push_back(std::move(other));
    world.server->set_restarts(false);
    world.scheduler.after(fault.lasts, [&world, two] {
        two->set_restarts(false);
        two->kill(never);
        world.server->set_restarts(true);
        world.server->kill(never);
        world.server->start();
    });
}

/// Somebody starts a copy of the log as it was some time ago, and the job's agents reach it.
void restored_copy(World& world, const Fault& fault, SimulatedJob& job) {
    auto copy = std::make_shared<eventlog::MemoryLog>(*world.volume);
    world.scheduler.after(fault.lasts, [&world, &job, copy, fault] {
        // Agents that obeyed nothing since cannot know that it is old.
        const auto newer = [&](const AgentHost& host) {
            const auto witness = agent::load_witness(agent::StatePaths{host.machine.state_root()});
            return witness && witness->seq > copy->head().seq;
        };
        if (!newer(*job.source) || !newer(*job.target)) return;
        const std::string address = "server-copy-" + std::to_string(fault.index);
        auto other = std::make_unique<OrchestratorHost>(address, copy, world.network, fault.number);
        OrchestratorHost* old = other.get();
        world.adopt_server(*old);
        old->set_address(address);
        old->start();
        world.other_servers.push_back(std::move(other));
        for (const Machine* machine : {job.source_machine.get(), job.target_machine.get()}) {
            world.network.redirect(machine->name, server_name, address);
            world.network.reset_between(machine->name, world.server->machine);
        }
        world.scheduler.after(60 * second, [&world, &job, old] {
            old->kill(never);
            for (const Machine* machine : {job.source_machine.get(), job.target_machine.get()})
                world.network.redirect(machine->name, server_name, "");
        });
    });
}

void lose_disk(World& world, const Fault& fault, Machine& machine, const std::string& path) {
    Disk* disk = machine.find(path);
    disk->present = false;
    world.scheduler.after(fault.lasts, [&machine, disk] {
        disk->present = true;
        if (machine.is_up()) machine.come_up();  // what waited for the disk
    });
}

/// Root mounts a disk of the source that no guard holds, though it is fenced, and writes to it.
void write_astray(World& world, const Fault& fault, SimulatedJob& job) {
    const std::string& path = job.spec.disks.front().source;
    Disk* disk = job.source_machine->find(path);
    const bool fenced = disk->guard.empty() && disk->hidden;
    const std::uint64_t block = fault.number % world.options.blocks;
    if (!job.source_machine->write_as_stray(path, block) || !fenced) return;
    job.fence_disturbed = true;
    job.disturbed_at = world.scheduler.now();
}

/// At any time, or in the moment after a boot in which the agent is not up yet.
void stray_writer(World& world, const Fault& fault, SimulatedJob& job) {
    if (fault.number % 2 == 0) {
        write_astray(world, fault, job);
        return job.source->stir();
    }
    reboot(world, *job.source, false, never);
    world.scheduler.after(boot_time, [&world, fault, &job] {
        job.source_machine->come_up();
        write_astray(world, fault, job);
        job.source->start();
    });
}

/// Nobody is told: only reading back can find it.
void flip_write(World& world, const Fault& fault, Disk* disk) {
    disk->flip_writes = 1;
    world.scheduler.after(fault.lasts, [disk] { disk->flip_writes = 0; });
}

void hurt_processes(World& world, const Fault& fault, SimulatedJob& job) {
    switch (fault.kind) {
        case FaultKind::kill_source_agent:
            return job.source->kill(2 * second);
        case FaultKind::kill_target_agent:
            return job.target->kill(2 * second);
        case FaultKind::kill_orchestrator:
            return world.server->kill(2 * second);
        case FaultKind::kill_source_at_step:
            return kill_at_step(world, *job.source, fault.number);
        case FaultKind::kill_target_at_step:
            return kill_at_step(world, *job.target, fault.number);
        case FaultKind::kill_orchestrator_at_step:
            return world.kill_at_step(world.server->process(), 1 + fault.number % 200,
                                      [&world] { world.server->kill(2 * second); });
        case FaultKind::pause_source_agent:
            return pause(world, fault, job.source->process());
        case FaultKind::pause_target_agent:
            return pause(world, fault, job.target->process());
        case FaultKind::pause_orchestrator:
            return pause(world, fault, world.server->process());
        case FaultKind::reboot_source:
            return reboot(world, *job.source, false, boot_time);
        case FaultKind::reboot_target:
            return reboot(world, *job.target, false, boot_time);
        case FaultKind::power_loss_source:
            return lose_power(world, fault, *job.source);
        case FaultKind::power_loss_target:
            return lose_power(world, fault, *job.target);
        case FaultKind::lose_target_for_good:
            job.target_lost = true;
            return reboot(world, *job.target, true, never);
        case FaultKind::die_in_journal_target:
            return die_in(world, fault, *job.target, "journal.", 12);
        case FaultKind::die_in_test_target:
            return die_in_test(world, fault, *job.target);
        case FaultKind::die_on_way_back_source:
            return die_on_way_back(world, fault, *job.source);
        case FaultKind::die_on_way_back_target:
            return die_on_way_back(world, fault, *job.target);
        case FaultKind::clone_source:
            return clone_source(world, fault, job);
        default:
            return;
    }
}

void hurt_network(World& world, const Fault& fault, SimulatedJob& job) {
    const std::string& source = job.source_machine->name;
    const std::string& target = job.target_machine->name;
    const std::string& server = world.server->machine;
    switch (fault.kind) {
        case FaultKind::cut_source_to_server:
            return cut(world, fault, source, server);
        case FaultKind::cut_server_to_source:
            return cut(world, fault, server, source);
        case FaultKind::cut_target_both:
            cut(world, fault, target, server);
            return cut(world, fault, server, target);
        case FaultKind::cut_peers_both:
            cut(world, fault, source, target);
            return cut(world, fault, target, source);
        case FaultKind::cut_peers_one_way:
            return fault.number % 2 == 0 ? cut(world, fault, source, target)
                                         : cut(world, fault, target, source);
        case FaultKind::reset_source_session:
            return world.network.reset_between(source, server);
        case FaultKind::reset_peers:
            return world.network.reset_between(source, target);
        case FaultKind::slow_peers:
            world.network.slow(source, target, 20'000);
            world.scheduler.after(
                fault.lasts, [&world, source, target] { world.network.slow(source, target, 0); });
            return;
        case FaultKind::duplicate_parcels:
            world.network.duplicate_between(source, server);
            return world.network.duplicate_between(target, server);
        default:
            return;
    }
}

void hurt_storage(World& world, const Fault& fault, SimulatedJob& job) {
    const std::string& source_disk = job.spec.disks.front().source;
    const std::string& target_disk = job.spec.disks.front().target;
    const Error io = failing(Errc::io, "input/output error");
    const Error full = failing(Errc::unavailable, "no space left on device");
    switch (fault.kind) {
        case FaultKind::rot_target:
            job.contents_damaged = true;
            job.damaged_at = world.scheduler.now();
            return job.target_machine->rot(target_disk, fault.number % world.options.blocks);
        case FaultKind::flip_write_target:
            job.write_flipped = true;
            return flip_write(world, fault, job.target_machine->find(target_disk));
        case FaultKind::read_error_source:
            return during(world, fault, {"disk.read", source_disk, io, false});
        case FaultKind::write_error_target:
            return during(world, fault, {"disk.write", target_disk, io, false});
        case FaultKind::flush_error_target:
            return during(world, fault, {"disk.flush", target_disk, io, fault.number % 2 == 0});
        case FaultKind::state_full_source:
            return during(world, fault, {"file.", job.source_machine->state_root(), full, false});
        case FaultKind::state_full_target:
            return during(world, fault, {"file.", job.target_machine->state_root(), full, false});
        case FaultKind::state_error_source:
            return during(world, fault, {"file.sync", job.source_machine->state_root(), io, true});
        case FaultKind::journal_full_target:
            return during(world, fault,
                          {"journal.make", job.target_machine->journal_root(), full, false});
        case FaultKind::journal_error_target:
            return during(world, fault,
                          {fault.number % 4 < 2 ? "journal.flush" : "journal.",
                           job.target_machine->journal_root(), io, fault.number % 2 == 0});
        case FaultKind::log_full:
            world.volume->set_free_bytes(1 << 20);
            world.scheduler.after(fault.lasts,
                                  [&world] { world.volume->set_free_bytes(UINT64_MAX); });
            return;
        case FaultKind::append_lost:
            return world.volume->fail_next_append(eventlog::AppendFault::indeterminate_lost);
        case FaultKind::append_kept:
            return world.volume->fail_next_append(eventlog::AppendFault::indeterminate_kept);
        case FaultKind::append_conflict:
            return world.volume->fail_next_append(eventlog::AppendFault::conflict);
        case FaultKind::lose_completions:
            job.source_machine->find(source_disk)->lose_completions = 2;
            return;
        case FaultKind::lose_issues:
            job.source_machine->find(source_disk)->lose_completions = 2;
            job.source_machine->find(source_disk)->lose_issues = true;
            return;
        case FaultKind::disk_vanishes:
            job.disk_vanished = true;
            return fault.number % 2 == 0
                       ? lose_disk(world, fault, *job.source_machine, source_disk)
                       : lose_disk(world, fault, *job.target_machine, target_disk);
        default:
            return;
    }
}

/// Of what comes back from the target.
void hurt_way_back(World& world, const Fault& fault, SimulatedJob& job) {
    const std::string& source_disk = job.spec.disks.front().source;
    const std::string journals = job.source_machine->journal_root();
    const Error io = failing(Errc::io, "input/output error");
    switch (fault.kind) {
        case FaultKind::lose_changes_target: {
            Disk* const disk = job.target_machine->find(job.spec.disks.front().target);
            disk->lose_completions = 2;
            disk->lose_issues = fault.number % 2 == 0;
            return;
        }
        case FaultKind::write_error_source:
            return during(world, fault, {"disk.write", source_disk, io, fault.number % 2 == 0});
        case FaultKind::flush_error_source:
            return during(world, fault, {"disk.flush", source_disk, io, fault.number % 2 == 0});
        case FaultKind::flip_write_source:
            return flip_write(world, fault, job.source_machine->find(source_disk));
        case FaultKind::journal_full_source:
            return during(world, fault,
                          {"journal.make", journals,
                           failing(Errc::unavailable, "no space left on device"), false});
        case FaultKind::journal_error_source:
            return during(world, fault,
                          {fault.number % 4 < 2 ? "journal.flush" : "journal.", journals, io,
                           fault.number % 2 == 0});
        default:
            return;
    }
}

}  // namespace

void inject(World& world, const Fault& fault) {
    SimulatedJob& job = world.jobs[fault.job];
    switch (fault.kind) {
        case FaultKind::step_clock: {
            const auto by = static_cast<WallMicros>(fault.number % 7'200) * second - 3'600 * second;
            world.server->clock.offset_micros += by;
            job.source->clock.offset_micros -= by;
            return;
        }
        case FaultKind::second_orchestrator:
            return second_orchestrator(world, fault);
        case FaultKind::restored_copy:
            return restored_copy(world, fault, job);
        case FaultKind::hook_fails:
        case FaultKind::hook_hangs: {
            const auto how =
                fault.kind == FaultKind::hook_fails ? HookFault::fails : HookFault::hangs;
            Machine& machine = fault.number % 2 == 0 ? *job.source_machine : *job.target_machine;
            machine.hook_faults[(fault.number % 4 < 2 ? "stop-" : "start-") + job.name] = how;
            return;
        }
        case FaultKind::test_hook_fails:
            return fail_test_hook(fault, job);
        case FaultKind::stray_writer:
            return stray_writer(world, fault, job);
        default:
            break;
    }
    hurt_processes(world, fault, job);
    hurt_network(world, fault, job);
    hurt_storage(world, fault, job);
    hurt_way_back(world, fault, job);
}

}  // namespace drover::sim
