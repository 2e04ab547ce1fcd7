/// What audits report. Plain value.
#pragma once

#include "eventlog/log.h"

namespace drover::eventlog {

/// Something that is not as it was written. A report has at most one finding of each id: the first.
struct Finding {
    std::string id;      ///< stable: event_missing, chain_broken, log_shorter_than_head, …
    Seq seq = 0;         ///< the first event that is affected
    std::string detail;  ///< for people
};

/// The smallest event any of them names; 0 when there is none.
[[nodiscard]] inline Seq first_bad_seq(const std::vector<Finding>& findings) {
    Seq first = 0;
    for (const Finding& finding : findings)
        if (finding.seq != 0 && (first == 0 || finding.seq < first)) first = finding.seq;
    return first;
}

/// Adds a finding unless there is one of this id.
inline void add_finding(std::vector<Finding>& findings, Finding finding) {
    for (const Finding& known : findings)
        if (known.id == finding.id) return;
    findings.push_back(std::move(finding));
}

}  // namespace drover::eventlog
