/// The lists of fields.h for what a restore with a loss adds. Internal to statemachine.
#pragma once

#include "statemachine/event.h"
#include "statemachine/job.h"

namespace drover::statemachine {

template <class V>
void fields(V& visit, const JobWorld& v) {
    visit("job", v.job);
    visit("side", v.side);
    visit("job_name", v.job_name);
    visit("last_seq", v.last_seq);
    visit("busy", v.busy);
    visit("closed", v.closed);
    visit("fence", v.fence);
    visit("handover", v.handover);
    visit("handover_token", v.handover_token);
    if (v.breached) visit("breached", v.breached);
}

template <class V>
void fields(V& visit, const ReconcileStarted& v) {
    visit("old_head_seq", v.old_head_seq);
}

template <class V>
void fields(V& visit, const WorldSeen& v) {
    visit("world", v.world);
}

template <class V>
void fields(V&, const Reconciled&) {}

template <class V>
void fields(V& visit, const ResolvedToTarget& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

template <class V>
void fields(V& visit, const ResolvedToSource& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

template <class V>
void fields(V& visit, const ResolvedToNeither& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

// ---- state ----

template <class V>
void fields(V& visit, const Reconciling& v) {
    visit("old_head_seq", v.old_head_seq);
    visit("since_micros", v.since_micros);
    visit("worlds", v.worlds);
}

}  // namespace drover::statemachine
