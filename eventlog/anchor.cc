#include "eventlog/anchor.h"

#include "base/sha256.h"

namespace drover::eventlog {
namespace {

constexpr std::string_view anchor_domain = "drover-anchor1";

std::string range_text(const Anchor& anchor) {
    return "the anchor of events " + std::to_string(anchor.first_seq) + " to " +
           std::to_string(anchor.last_seq);
}

}  // namespace

Bytes anchor_message(const Anchor& anchor) {
    Bytes out;
    put_bytes(out, as_bytes(anchor_domain));
    put_bytes(out, anchor.lineage.view());
    put_u64(out, anchor.first_seq);
    put_u64(out, anchor.last_seq);
    put_bytes(out, anchor.last_hash.view());
    put_bytes(out, anchor.merkle_root.view());
    put_u32(out, anchor.epoch);
    put_u64(out, static_cast<std::uint64_t>(anchor.wall_micros));
    put_bytes(out, anchor.previous.view());
    put_bytes(out, anchor.key.view());
    return out;
}

Hash anchor_digest(const Anchor& anchor) {
    return Sha256().update(anchor_message(anchor)).update(anchor.signature.view()).finish();
}

void sign_anchor(Anchor& anchor, const SigningSeed& seed) {
    anchor.key = seed.public_key();
    anchor.signature = seed.sign(anchor_message(anchor));
}

Result<> check_anchor(const Anchor& anchor) {
    const bool is_possible = anchor.first_seq >= 1 && anchor.first_seq <= anchor.last_seq &&
                             anchor.events() <= anchor_events_max;
    if (!is_possible)
        return Error(Errc::corrupt, "anchor_damaged", range_text(anchor) + " has no such range");
    if (!is_signed_by(anchor.key, anchor_message(anchor), anchor.signature))
        return Error(Errc::corrupt, "anchor_damaged",
                     range_text(anchor) + " does not carry the signature of its key");
    return {};
}

Result<> check_anchor_link(const Anchor& before, const Anchor& next) {
    const Seq due = before.lineage == next.lineage ? before.last_seq + 1 : 1;
    if (next.previous == anchor_digest(before) && next.first_seq == due) return {};
    return Error(Errc::corrupt, "anchor_chain_broken",
                 range_text(next) + " does not follow " + range_text(before));
}

}  // namespace drover::eventlog
