#include "orchestrator/metrics.h"

#include "orchestrator/anchors.h"

#include <map>

namespace drover::orchestrator {

namespace {

class Exposition {
  public:
    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        text_ += "# HELP " + name_ + " " + std::string(help) + "\n# TYPE " + name_ + " " +
                 std::string(type) + "\n";
    }

    /// `labels` without braces; label values are names, which need no escaping.
    void sample(std::uint64_t value, const std::string& labels = {}) {
        text_ += name_;
        if (!labels.empty()) text_ += "{" + labels + "}";
        text_ += " " + std::to_string(value) + "\n";
    }

    void single(std::string_view name, std::string_view type, std::string_view help,
                std::uint64_t value) {
        family(name, type, help);
        sample(value);
    }

    [[nodiscard]] std::string take() { return std::move(text_); }

  private:
    std::string name_;
    std::string text_;
};

/// What must stay 0.
void add_equality(const Core& core, Exposition& out) {
    const auto add = [&](const std::string& name, const std::string& help, auto figure) {
        out.family(name, "gauge", help);
        for (const auto& [id, entry] : core.state().jobs) {
            const ProgressSample* sample = core.telemetry().latest(id, Side::source);
            if (sample == nullptr || statemachine::is_final(entry.job.phase)) continue;
            out.sample(sample->progress.*figure, "job=\"" + entry.job.spec.name + "\"");
        }
    };
    add("drover_job_differed_bytes", "Bytes that a target's disk did not keep; sent again.",
        &Progress::bytes_differed);
    add("drover_job_walk_alarms", "Ranges found to differ while in sync, unexplained.",
        &Progress::walk_alarms);
}

void add_jobs(const Core& core, Exposition& out) {
    std::map<std::string_view, std::uint64_t> phases;
    std::uint64_t parked = 0;
    std::uint64_t quarantined = 0;
    for (const auto& [id, entry] : core.state().jobs) {
        ++phases[statemachine::name_of(entry.job.phase)];
        if (entry.job.parked) ++parked;
        if (entry.illegal || entry.job.quarantined) ++quarantined;
    }
    out.family("drover_jobs", "gauge", "Jobs by phase.");
    for (const auto& [phase, count] : phases) {
        out.sample(count, "phase=\"" + std::string(phase) + "\"");
    }
    out.single("drover_jobs_parked", "gauge", "Jobs that wait for a person after a failure.",
               parked);
    out.single("drover_jobs_quarantined", "gauge",
               "Jobs that are left alone, most of them because their history is not legal.",
               quarantined);
    out.family("drover_job_backlog_bytes", "gauge", "Changed bytes not yet durable on the target.");
    for (const auto& [id, entry] : core.state().jobs) {
        if (!entry.job.exists || statemachine::is_final(entry.job.phase)) continue;
        std::uint64_t backlog = entry.job.backlog_bytes;
        if (const ProgressSample* sample = core.telemetry().latest(id, Side::source)) {
            backlog = 0;
            for (const DiskProgress& disk : sample->progress.disks) backlog += disk.backlog_bytes;
        }
        out.sample(backlog, "job=\"" + entry.job.spec.name + "\"");
    }
    add_equality(core, out);
}

void add_anchors(const Anchors& anchors, Exposition& out) {
    out.single("drover_anchored_seq", "gauge", "The last event that an anchor covers.",
               anchors.anchored_seq());
    out.single("drover_anchor_alarm", "gauge", "1: the last anchor could not be made.",
               anchors.alarm() ? 1U : 0U);
    if (anchors.copy() == nullptr) return;
    out.single("drover_anchor_copy_alarm", "gauge", "1: the second path does not have the anchors.",
               anchors.copy()->status().alarm ? 1U : 0U);
}

}  // namespace

std::string metrics_text(const Core& core, const Anchors* anchors) {
    const Engine& engine = core.engine();
    const Engine::Counters& counters = engine.counters();
    Exposition out;
    out.single("drover_events_total", "counter", "Events in the log.", core.state().seq);
    out.single("drover_commands_total", "counter", "Commands taken since the start.",
               counters.commands);
    out.single("drover_rejections_total", "counter", "Commands refused since the start.",
               counters.rejections);
    out.single("drover_command_repeats_total", "counter", "Retries answered from the log.",
               counters.repeats);
    out.single("drover_log_appends_total", "counter", "Group commits since the start.",
               counters.appends);
    out.single("drover_stale_reports_total", "counter", "Reports acknowledged without use.",
               core.sessions().stale_reports());
    out.single("drover_epoch", "gauge", "Starts of an orchestrator on this log.", engine.epoch());
    out.single("drover_log_free_bytes", "gauge", "Free bytes on the log's volume.",
               engine.log().free_bytes());
    out.single("drover_agents_connected", "gauge", "Agents with a session.",
               core.sessions().connected_count());
    if (anchors != nullptr) add_anchors(*anchors, out);
    add_jobs(core, out);
    return out.take();
}

}  // namespace drover::orchestrator
