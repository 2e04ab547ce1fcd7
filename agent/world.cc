#include "agent/world.h"

#include "agent/activation.h"
#include "agent/job_record.h"

#include <algorithm>

namespace drover::agent {
namespace {

using JobSide = std::pair<JobId, Side>;

Handover handover_of(ActivationState state) {
    switch (state) {
        case ActivationState::activating:
        case ActivationState::promoted:
            return Handover::under_way;
        case ActivationState::active:
            return Handover::active;
        case ActivationState::deactivated:
            break;
    }
    return Handover::taken_back;
}

class Finder {
  public:
    explicit Finder(const AgentParts& parts)
        : parts_(parts) {}

    Result<WorldFound> find() {
        for (const auto& [key, memory] : parts_.journal.memory()) {
            JobWorld& world = at(key, memory.job_name, memory.last_seq);
            world.busy = memory.unfinished;
            world.closed = parts_.journal.closed_seq(key.first, key.second) != 0;
        }
        TRY_VOID(add_records());
        TRY_VOID(add_fences());
        return sorted();
    }

  private:
    JobWorld& at(const JobSide& key, const std::string& name, std::uint64_t seq) {
        JobWorld& world = worlds_[key];
        world.job = key.first;
        world.side = key.second;
        if (!name.empty()) world.job_name = name;
        world.last_seq = std::max(world.last_seq, seq);
        return world;
    }

    Result<> add_records() {
        TRY(const auto known, list_jobs(parts_.paths));
        for (const JobDirectory& job : known) {
            TRY(const auto record, load_replicate(parts_.paths.job(job.job, job.side)));
            JobWorld& world = at({job.job, job.side}, record ? record->effect.job_name : "",
                                 record ? record->effect.id.seq : 0);
            world.closed = false;
            if (job.side == Side::source) continue;
            TRY(const auto activation, load_activation(parts_.paths, job.job));
            if (!activation) continue;
            world.handover = handover_of(activation->state);
            world.handover_token = activation->token;
        }
        return {};
    }

    /// A fence that is being released stands until it is gone. Of several the newest is named.
    Result<> add_fences() {
        TRY(const auto markers, parts_.fences.own());
        std::map<JobSide, std::uint64_t> named;
        for (const FenceMarker& marker : markers) {
            const EffectId& id = marker.effect.id;
            JobWorld& world = at({id.job, Side::source}, marker.effect.job_name, id.seq);
            std::uint64_t& newest = named[{id.job, Side::source}];
            if (id.seq >= newest) {
                world.fence = marker.work().token;
                world.breached = marker.breached || marker.broken_by_root;
            }
            newest = std::max(newest, id.seq);
            if (marker.state == FenceState::releasing) world.busy = true;
        }
        return {};
    }

    Result<WorldFound> sorted() {
        WorldFound found;
        for (const auto& [key, world] : worlds_) found.jobs.push_back(world);
        std::stable_sort(
            found.jobs.begin(), found.jobs.end(),
            [](const JobWorld& a, const JobWorld& b) { return a.last_seq > b.last_seq; });
        found.is_cut = found.jobs.size() > world_jobs_max;
        if (found.is_cut) found.jobs.resize(world_jobs_max);
        return found;
    }

    const AgentParts& parts_;
    std::map<JobSide, JobWorld> worlds_;
};

}  // namespace

Result<WorldFound> find_world(const AgentParts& parts) {
    return Finder(parts).find();
}

}  // namespace drover::agent
