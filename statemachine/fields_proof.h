/// The lists of fields.h for tests on an overlay and for proofs of equality. Internal to
/// statemachine.
#pragma once

#include "statemachine/event.h"

namespace drover::statemachine {

template <class V>
void fields(V& visit, const DiskProof& v) {
    visit("source_root", v.source_root);
    visit("target_root", v.target_root);
    visit("bytes", v.bytes);
    if (v.skipped_bytes != 0) visit("skipped_bytes", v.skipped_bytes);
    if (v.written_bytes != 0) visit("written_bytes", v.written_bytes);
}

template <class V>
void fields(V& visit, const StartTestDone& v) {
    visit("point", v.point);
    visit("point_kind", v.point_kind);
    visit("taken_micros", v.taken_micros);
    visit("overlay", v.overlay);
    visit("disks", v.disks);
}

template <class V>
void fields(V& visit, const TestReady& v) {
    visit("test", v.test);
}

template <class V>
void fields(V& visit, const TestRevertStarted& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const HoldCompared& v) {
    visit("disks", v.disks);
    visit("written", v.written);
}

template <class V>
void fields(V& visit, const CopyDiffers& v) {
    visit("ranges", v.ranges);
}

template <class V>
void fields(V& visit, const ComparisonWaived& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

}  // namespace drover::statemachine
