#include "schemas/convert.h"

namespace drover::flat {

void write_findings(capnp::List<schema::Finding>::Builder out,
                    const std::vector<Finding>& findings) {
    for (unsigned i = 0; i < out.size(); ++i) {
        out[i].setSeverity(wire_enum<schema::Severity>(findings[i].severity));
        out[i].setId(text(findings[i].id));
        out[i].setObject(text(free_text(findings[i].object, finding_text_bytes_max)));
        out[i].setDetail(text(free_text(findings[i].detail, finding_text_bytes_max)));
        out[i].setNext(text(free_text(findings[i].next, finding_text_bytes_max)));
    }
}

void write(schema::PreflightDone::Builder out, const PreflightDone& value) {
    write_findings(out.initFindings(count(value.findings, findings_max)), value.findings);
    auto disks = out.initDisks(count(value.disks, disks_max));
    for (unsigned i = 0; i < disks.size(); ++i) {
        disks[i].setPath(text(value.disks[i].path));
        disks[i].setIdentity(text(host_line(value.disks[i].identity)));
        disks[i].setSizeBytes(value.disks[i].size_bytes);
        disks[i].setSectorBytes(value.disks[i].sector_bytes);
        disks[i].setTracker(text(host_line(value.disks[i].tracker)));
    }
    auto names = out.initCapabilities(count(value.capabilities, capabilities_max));
    for (unsigned i = 0; i < names.size(); ++i)
        names.set(i, text(host_line(value.capabilities[i])));
    auto digests = out.initHookDigests(count(value.hook_digests, hook_steps));
    unsigned index = 0;
    for (const auto& [step, digest] : value.hook_digests) {
        auto entry = digests[index++];
        entry.setStep(wire_enum<schema::HookStep>(step));
        entry.setSha256(blob(digest.view()));
    }
    flat::write(out.initEndpoint(), value.endpoint);
    out.setJournalMode(text(host_line(value.journal_mode)));
}

namespace {

Finding read(schema::Finding::Reader in, Checks& checks) {
    Finding value;
    value.severity = checks.number(in.getSeverity(), Severity::critical, "severity");
    value.id = checks.line(in.getId(), "finding id");
    value.object = checks.text(in.getObject(), "finding object");
    value.detail = checks.text(in.getDetail(), "finding detail");
    value.next = checks.text(in.getNext(), "finding next");
    return value;
}

DiskFacts read(schema::DiskFacts::Reader in, Checks& checks) {
    DiskFacts value;
    value.path = checks.line(in.getPath(), "disk path");
    value.identity = checks.line(in.getIdentity(), "disk identity");
    value.size_bytes = in.getSizeBytes();
    value.sector_bytes = in.getSectorBytes();
    value.tracker = checks.line(in.getTracker(), "disk tracker");
    return value;
}

std::map<HookStep, Hash> read_digests(capnp::List<schema::HookDigest>::Reader in, Checks& checks) {
    std::map<HookStep, Hash> digests;
    const auto entries =
        checks.list(in, hook_steps, "hook digests", [&](schema::HookDigest::Reader entry) {
            const auto step = checks.number(entry.getStep(), HookStep::test_stop, "hook step");
            return std::pair(step, checks.fixed<Hash>(entry.getSha256(), "hook digest"));
        });
    for (const auto& [step, digest] : entries) {
        if (!digests.empty() && digests.rbegin()->first >= step) {
            checks.fail("hook digests", "not ascending");
        }
        digests.emplace(step, digest);
    }
    return digests;
}

}  // namespace

std::vector<Finding> read_findings(capnp::List<schema::Finding>::Reader in, Checks& checks) {
    return checks.list(in, findings_max, "findings",
                       [&](schema::Finding::Reader item) { return read(item, checks); });
}

PreflightDone read(schema::PreflightDone::Reader in, Checks& checks) {
    PreflightDone value;
    value.findings = read_findings(in.getFindings(), checks);
    value.disks = checks.list(in.getDisks(), disks_max, "disks",
                              [&](schema::DiskFacts::Reader item) { return read(item, checks); });
    value.capabilities =
        checks.list(in.getCapabilities(), capabilities_max, "capabilities",
                    [&](capnp::Text::Reader item) { return checks.line(item, "capability"); });
    value.hook_digests = read_digests(in.getHookDigests(), checks);
    value.endpoint = flat::read(in.getEndpoint(), checks);
    value.journal_mode = checks.line(in.getJournalMode(), "journal mode");
    return value;
}

void write_proofs(capnp::List<schema::DiskProof>::Builder out,
                  const std::vector<DiskProof>& disks) {
    for (unsigned i = 0; i < out.size(); ++i) {
        out[i].setSourceRoot(blob(disks[i].source_root.view()));
        out[i].setTargetRoot(blob(disks[i].target_root.view()));
        out[i].setBytes(disks[i].bytes);
        out[i].setSkippedBytes(disks[i].skipped_bytes);
        out[i].setWrittenBytes(disks[i].written_bytes);
    }
}

std::vector<DiskProof> read_proofs(capnp::List<schema::DiskProof>::Reader in, Checks& checks) {
    return checks.list(in, disks_max, "proofs", [&](schema::DiskProof::Reader disk) {
        return DiskProof{checks.fixed<Hash>(disk.getSourceRoot(), "source root"),
                         checks.fixed<Hash>(disk.getTargetRoot(), "target root"), disk.getBytes(),
                         disk.getSkippedBytes(), disk.getWrittenBytes()};
    });
}

void write_ranges(capnp::List<schema::ByteRange>::Builder out,
                  const std::vector<ByteRange>& ranges) {
    for (unsigned i = 0; i < out.size(); ++i) write(out[i], ranges[i]);
}

std::vector<ByteRange> read_ranges(capnp::List<schema::ByteRange>::Reader in, Checks& checks) {
    return checks.list(in, mismatches_max, "ranges",
                       [&](schema::ByteRange::Reader range) { return read(range, checks); });
}

void write(schema::StartTestDone::Builder out, const StartTestDone& value) {
    out.setPoint(value.point);
    out.setPointKind(wire_enum<schema::PointKind>(value.point_kind));
    out.setTakenMicros(value.taken_micros);
    out.setOverlay(text(host_line(value.overlay)));
    write_paths(out.initDisks(count(value.disks, disks_max)), value.disks);
}

StartTestDone read(schema::StartTestDone::Reader in, Checks& checks) {
    StartTestDone value;
    value.point = in.getPoint();
    value.point_kind = checks.number(in.getPointKind(), PointKind::application, "point kind");
    value.taken_micros = in.getTakenMicros();
    value.overlay = checks.line(in.getOverlay(), "overlay");
    value.disks = read_paths(in.getDisks(), "overlay disks", checks);
    return value;
}

namespace {

/// Of every kind of comparison.
template <class Done>
void write_compared(schema::VerifyDone::Builder out, const Done& value) {
    write_proofs(out.initDisks(count(value.disks, disks_max)), value.disks);
    write_ranges(out.initMismatches(count(value.mismatches, mismatches_max)), value.mismatches);
}

template <class Done>
Done read_compared(schema::VerifyDone::Reader in, Checks& checks) {
    Done value;
    value.disks = read_proofs(in.getDisks(), checks);
    value.mismatches = read_ranges(in.getMismatches(), checks);
    return value;
}

CompareDone read_compare_done(schema::VerifyDone::Reader in, Checks& checks) {
    auto value = read_compared<CompareDone>(in, checks);
    value.written = read_ranges(in.getWritten(), checks);
    return value;
}

void write(schema::Report::DataState::Builder out, const DataStateNow& value) {
    out.setState(wire_enum<schema::DataState>(value.state));
    out.setGeneration(blob(value.generation.view()));
    out.setBacklogBytes(value.backlog_bytes);
}

DataStateNow read(schema::Report::DataState::Reader in, Checks& checks) {
    return {checks.number(in.getState(), DataState::disconnected, "data state"),
            checks.fixed<Generation>(in.getGeneration(), "generation"), in.getBacklogBytes()};
}

DrainDone read(schema::Report::DrainDone::Reader in) {
    return {in.getBatch(), in.getBytes(), in.getBytesReadBack(), in.getBytesDiffered(),
            in.getBytesUnverified()};
}

DeactivateDone read(schema::Report::DeactivateDone::Reader in) {
    return {in.getWasActive(), in.getBytesWritten(), in.getChangesKnown(), in.getChangedBytes()};
}

GenerationGone read(schema::Report::GenerationGone::Reader in, Checks& checks) {
    if (in.getDisk() >= disks_max) checks.fail("generation disk", "too high");
    return {in.getDisk(), checks.text(in.getCause(), "generation cause")};
}

void write_body(schema::Report::Builder out, const ReportBody& value) {
    std::visit(Overloaded{
                   [&](const PreflightDone& body) { flat::write(out.initPreflightDone(), body); },
                   [&](const MirrorDone& body) {
                       out.initMirrorDone().setGeneration(blob(body.generation.view()));
                   },
                   [&](const DataStateNow& body) { write(out.initDataState(), body); },
                   [&](const GenerationGone& body) {
                       auto group = out.initGenerationGone();
                       group.setDisk(body.disk);
                       group.setCause(text(free_text(body.cause)));
                   },
                   [&](const FenceDone& body) { flat::write(out.initFenceDone(), body.proof); },
                   [&](const FenceDeclined& body) {
                       out.initFenceDeclined().setBacklogBytes(body.backlog_bytes);
                   },
                   [&](const FenceBreach& body) {
                       out.initFenceBreach().setCompletions(body.completions);
                   },
                   [&](const FenceBrokenByRoot& body) {
                       out.initFenceBroken().setBy(text(free_text(body.by)));
                   },
                   [&](const DrainDone& body) {
                       auto group = out.initDrainDone();
                       group.setBatch(body.batch);
                       group.setBytes(body.bytes);
                       group.setBytesReadBack(body.bytes_read_back);
                       group.setBytesDiffered(body.bytes_differed);
                       group.setBytesUnverified(body.bytes_unverified);
                   },
                   [&](const VerifyDone& body) { write_compared(out.initVerifyDone(), body); },
                   [&](const ActivateDone& body) {
                       out.initActivateDone().setActivatedMicros(body.activated_micros);
                   },
                   [&](const ValidateDone& body) {
                       out.initValidateDone().setCheck(text(free_text(body.check)));
                   },
                   [&](const DeactivateDone& body) {
                       auto group = out.initDeactivateDone();
                       group.setWasActive(body.was_active);
                       group.setBytesWritten(body.bytes_written);
                       group.setChangesKnown(body.changes_known);
                       group.setChangedBytes(body.changed_bytes);
                   },
                   [&](const ReleaseDone& body) {
                       out.initReleaseDone().setReleasedMicros(body.released_micros);
                   },
                   [&](const CleanupDone&) { out.setCleanupDone(); },
                   [&](const DataDeleted&) { out.setDataDeleted(); },
                   [&](const StepFailed& body) { flat::write(out.initFailed(), body.error); },
                   [&](const StartTestDone& body) { flat::write(out.initStartTestDone(), body); },
                   [&](const RevertTestDone&) { out.setRevertTestDone(); },
                   [&](const ReverseDrainDone& body) {
                       auto group = out.initReverseDrainDone();
                       group.setBatch(body.batch);
                       group.setBytes(body.bytes);
                   },
                   [&](const ReverseVerifyDone& body) {
                       write_compared(out.initReverseVerifyDone(), body);
                   },
                   [&](const CompareDone& body) {
                       auto to = out.initCompareDone();
                       write_compared(to, body);
                       write_ranges(to.initWritten(count(body.written, mismatches_max)),
                                    body.written);
                   },
               },
               value);
}

ReportBody read_body(schema::Report::Reader in, Checks& checks) {
    using schema::Report;
    switch (in.which()) {
        case Report::PREFLIGHT_DONE:
            return flat::read(in.getPreflightDone(), checks);
        case Report::MIRROR_DONE:
            return MirrorDone{
                checks.fixed<Generation>(in.getMirrorDone().getGeneration(), "generation")};
        case Report::DATA_STATE:
            return read(in.getDataState(), checks);
        case Report::GENERATION_GONE:
            return read(in.getGenerationGone(), checks);
        case Report::FENCE_DONE:
            return FenceDone{flat::read(in.getFenceDone(), checks)};
        case Report::FENCE_DECLINED:
            return FenceDeclined{in.getFenceDeclined().getBacklogBytes()};
        case Report::FENCE_BREACH:
            return FenceBreach{in.getFenceBreach().getCompletions()};
        case Report::FENCE_BROKEN:
            return FenceBrokenByRoot{checks.text(in.getFenceBroken().getBy(), "broken by")};
        case Report::DRAIN_DONE:
            return read(in.getDrainDone());
        case Report::VERIFY_DONE:
            return read_compared<VerifyDone>(in.getVerifyDone(), checks);
        case Report::ACTIVATE_DONE:
            return ActivateDone{in.getActivateDone().getActivatedMicros()};
        case Report::VALIDATE_DONE:
            return ValidateDone{checks.text(in.getValidateDone().getCheck(), "validated check")};
        case Report::DEACTIVATE_DONE:
            return read(in.getDeactivateDone());
        case Report::RELEASE_DONE:
            return ReleaseDone{in.getReleaseDone().getReleasedMicros()};
        case Report::CLEANUP_DONE:
            return CleanupDone{};
        case Report::DATA_DELETED:
            return DataDeleted{};
        case Report::FAILED:
            return StepFailed{flat::read(in.getFailed(), checks)};
        case Report::START_TEST_DONE:
            return flat::read(in.getStartTestDone(), checks);
        case Report::REVERT_TEST_DONE:
            return RevertTestDone{};
        case Report::REVERSE_DRAIN_DONE:
            return ReverseDrainDone{in.getReverseDrainDone().getBatch(),
                                    in.getReverseDrainDone().getBytes()};
        case Report::REVERSE_VERIFY_DONE:
            return read_compared<ReverseVerifyDone>(in.getReverseVerifyDone(), checks);
        case Report::COMPARE_DONE:
            return read_compare_done(in.getCompareDone(), checks);
    }
    checks.fail("report", "unknown alternative");
    return {};
}

}  // namespace

void write(schema::Report::Builder out, const Report& value) {
    out.setReportId(blob(value.report_id.view()));
    write(out.initEffect(), value.effect);
    write_body(out, value.body);
}

Report read(schema::Report::Reader in, Checks& checks) {
    Report value;
    value.report_id = checks.fixed<Uuid>(in.getReportId(), "report id");
    value.effect = read(in.getEffect(), checks);
    value.body = read_body(in, checks);
    return value;
}

void write(schema::Progress::Builder out, const Progress& value) {
    out.setJob(blob(value.job.view()));
    out.setSide(wire_enum<schema::Side>(value.side));
    out.setState(wire_enum<schema::DataState>(value.state));
    auto disks = out.initDisks(count(value.disks, disks_max));
    for (unsigned i = 0; i < disks.size(); ++i) {
        disks[i].setSizeBytes(value.disks[i].size_bytes);
        disks[i].setMirroredBytes(value.disks[i].mirrored_bytes);
        disks[i].setBacklogBytes(value.disks[i].backlog_bytes);
    }
    out.setBytesChanged(value.bytes_changed);
    out.setBytesSentMirror(value.bytes_sent_mirror);
    out.setBytesSentSync(value.bytes_sent_sync);
    out.setBytesZeroSkipped(value.bytes_zero_skipped);
    out.setBytesResumed(value.bytes_resumed);
    out.setPasses(value.passes);
    out.setTrackerLosses(value.tracker_losses);
    out.setRateBytesPerS(value.rate_bytes_per_s);
    out.setBytesWrittenSinceActivation(value.bytes_written_since_activation);
    out.setDetail(text(free_text(value.detail)));
    out.setBytesUnverified(value.bytes_unverified);
    out.setBytesReadBack(value.bytes_read_back);
    out.setBytesDiffered(value.bytes_differed);
    out.setWalkRounds(value.walk_rounds);
    out.setWalkAlarms(value.walk_alarms);
    out.setJournalLagBytes(value.journal_lag_bytes);
    auto points = out.initPoints(count(value.points, points_max));
    for (unsigned i = 0; i < points.size(); ++i) {
        points[i].setBatch(value.points[i].batch);
        points[i].setTakenMicros(value.points[i].taken_micros);
        points[i].setKind(wire_enum<schema::PointKind>(value.points[i].kind));
    }
    out.setBytesOnWire(value.bytes_on_wire);
    out.setBytesSkipped(value.bytes_skipped);
    out.setBytesCompared(value.bytes_compared);
    out.setJournalUsedBytes(value.journal_used_bytes);
    out.setJournalBudgetBytes(value.journal_budget_bytes);
}

Progress read(schema::Progress::Reader in, Checks& checks) {
    Progress value;
    value.job = checks.fixed<JobId>(in.getJob(), "progress job");
    value.side = checks.number(in.getSide(), Side::target, "progress side");
    value.state = checks.number(in.getState(), DataState::disconnected, "progress state");
    value.disks = checks.list(in.getDisks(), disks_max, "progress disks",
                              [](schema::DiskProgress::Reader disk) {
                                  return DiskProgress{disk.getSizeBytes(), disk.getMirroredBytes(),
                                                      disk.getBacklogBytes()};
                              });
    value.bytes_changed = in.getBytesChanged();
    value.bytes_sent_mirror = in.getBytesSentMirror();
    value.bytes_sent_sync = in.getBytesSentSync();
    value.bytes_zero_skipped = in.getBytesZeroSkipped();
    value.bytes_resumed = in.getBytesResumed();
    value.passes = in.getPasses();
    value.tracker_losses = in.getTrackerLosses();
    value.rate_bytes_per_s = in.getRateBytesPerS();
    value.bytes_written_since_activation = in.getBytesWrittenSinceActivation();
    value.detail = checks.text(in.getDetail(), "progress detail");
    value.bytes_unverified = in.getBytesUnverified();
    value.bytes_read_back = in.getBytesReadBack();
    value.bytes_differed = in.getBytesDiffered();
    value.walk_rounds = in.getWalkRounds();
    value.walk_alarms = in.getWalkAlarms();
    value.journal_lag_bytes = in.getJournalLagBytes();
    value.points = checks.list(
        in.getPoints(), points_max, "progress points", [&](schema::PointMark::Reader point) {
            return PointMark{point.getBatch(), point.getTakenMicros(),
                             checks.number(point.getKind(), PointKind::application, "point kind")};
        });
    value.bytes_on_wire = in.getBytesOnWire();
    value.bytes_skipped = in.getBytesSkipped();
    value.bytes_compared = in.getBytesCompared();
    value.journal_used_bytes = in.getJournalUsedBytes();
    value.journal_budget_bytes = in.getJournalBudgetBytes();
    return value;
}

}  // namespace drover::flat
