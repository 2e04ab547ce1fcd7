#include "orchestrator/upgrade_check.h"

#include "eventlog/copy.h"
#include "history/state.h"
#include "orchestrator/setup.h"

namespace drover::orchestrator {

Result<UpgradeReport> check_upgrade(const std::filesystem::path& state_directory) {
    const auto directory = log_directory(state_directory);
    UpgradeReport report;
    history::State state;
    TRY(report.head, eventlog::read_log_directory(directory, [&](const eventlog::Record& record) {
            const auto fact = history::decode_record_fact(record);
            ++report.events;
            if (fact) {
                history::apply(state, record, *fact);
                return true;
            }
            // A start refuses here: nothing after it would be looked at.
            report.findings.push_back({fact.error().id(), record.seq, fact.error().detail()});
            return false;
        }));
    for (const auto& [id, entry] : state.jobs) {
        if (!entry.illegal) continue;
        report.findings.push_back({"job_left_alone", 0,
                                   "job " + entry.job.spec.name + " (" + uuid_text(id) +
                                       "): " + entry.illegal->detail()});
    }
    report.jobs = state.jobs.size();
    return report;
}

}  // namespace drover::orchestrator
