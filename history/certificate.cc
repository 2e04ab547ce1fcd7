#include "history/certificate.h"

#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

using statemachine::Job;

json::value root_or_null(const Hash& root) {
    if (root.is_zero()) return nullptr;
    return json::value(root.hex());
}

json::array disks_json(const std::vector<DiskProof>& proofs, const PreflightDone& source) {
    json::array out;
    for (std::size_t i = 0; i < proofs.size() && i < source.disks.size(); ++i) {
        const DiskProof& proof = proofs[i];
        const std::uint64_t size = source.disks[i].size_bytes;
        const std::uint64_t told = std::min(size, proof.bytes + proof.skipped_bytes);
        out.push_back({{"size_bytes", size},
                       {"compared_bytes", proof.bytes},
                       {"induction_bytes", size - told},
                       {"skipped_bytes", proof.skipped_bytes},
                       {"source_root", root_or_null(proof.source_root)},
                       {"target_root", root_or_null(proof.target_root)}});
    }
    return out;
}

json::array ranges_json(const std::vector<ByteRange>& ranges) {
    json::array out;
    for (const ByteRange& range : ranges) {
        out.push_back({{"disk", range.disk}, {"offset", range.offset}, {"length", range.length}});
    }
    return out;
}

}  // namespace

json::value certificate_json(const Job& job) {
    const auto& source = job.preflight.at(static_cast<std::size_t>(Side::source));
    // After a rollback that kept the target's writes the proof is that of the way back.
    if (job.proof.empty() || job.reverse_verified || !source) return nullptr;
    const bool before = !job.verifies_by_induction;
    const bool during = !job.hold_proof.empty();
    const bool wanted = job.spec.comparison != Comparison::never;
    return json::object{{"comparison", before   ? "before_release"
                                       : during ? "during_hold"
                                                : "none"},
                        {"complete", before || during || !wanted},
                        {"waived", job.comparison_waived},
                        {"differs", job.copy_differs},
                        {"disks", disks_json(during ? job.hold_proof : job.proof, *source)},
                        {"written", ranges_json(job.hold_written)}};
}

}  // namespace drover::history
