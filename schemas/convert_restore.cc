#include "schemas/convert.h"

namespace drover::flat {

void write(schema::JobWorld::Builder out, const JobWorld& value) {
    out.setJob(blob(value.job.view()));
    out.setSide(wire_enum<schema::Side>(value.side));
    out.setJobName(text(host_line(value.job_name)));
    out.setLastSeq(value.last_seq);
    out.setBusy(value.busy);
    out.setClosed(value.closed);
    out.setFence(blob(value.fence.view()));
    out.setHandover(wire_enum<schema::Handover>(value.handover));
    out.setHandoverToken(blob(value.handover_token.view()));
    out.setBreached(value.breached);
}

JobWorld read(schema::JobWorld::Reader in, Checks& checks) {
    JobWorld value;
    value.job = checks.fixed<JobId>(in.getJob(), "job");
    value.side = checks.number(in.getSide(), Side::target, "side");
    value.job_name = checks.optional_name(in.getJobName(), "job name");
    value.last_seq = in.getLastSeq();
    value.busy = in.getBusy();
    value.closed = in.getClosed();
    value.fence = checks.fixed<FenceToken>(in.getFence(), "fence");
    value.handover = checks.number(in.getHandover(), Handover::taken_back, "handover");
    value.handover_token = checks.fixed<FenceToken>(in.getHandoverToken(), "handover token");
    value.breached = in.getBreached();
    return value;
}

void write(schema::LineageReset::Builder out, const LineageReset& value) {
    out.setOldLineage(blob(value.old_lineage.view()));
    out.setOldHeadSeq(value.old_head_seq);
    out.setOldHeadHash(blob(value.old_head_hash.view()));
    out.setOldEpoch(value.old_epoch);
    out.setNewLineage(blob(value.new_lineage.view()));
    out.setNewEpoch(value.new_epoch);
    out.setAtMicros(value.at_micros);
    out.setBy(text(value.by));
    out.setReason(text(value.reason));
    out.setSignature(blob(value.signature));
}

LineageReset read(schema::LineageReset::Reader in, Checks& checks) {
    LineageReset value;
    value.old_lineage = checks.fixed<Uuid>(in.getOldLineage(), "old lineage");
    value.old_head_seq = in.getOldHeadSeq();
    value.old_head_hash = checks.fixed<Hash>(in.getOldHeadHash(), "old head hash");
    value.old_epoch = in.getOldEpoch();
    value.new_lineage = checks.fixed<Uuid>(in.getNewLineage(), "new lineage");
    value.new_epoch = in.getNewEpoch();
    value.at_micros = in.getAtMicros();
    // Signed as they are: neither cut nor changed on the way.
    value.by = checks.text(in.getBy(), "by", reset_text_bytes_max);
    value.reason = checks.text(in.getReason(), "reason", reset_text_bytes_max);
    value.signature = checks.bytes(in.getSignature(), "signature", signature_bytes_max);
    return value;
}

}  // namespace drover::flat
