#include "schemas/restore.h"

#include "base/assert.h"

namespace drover {
namespace {

void put_text(Bytes& out, std::string_view text) {
    put_u32(out, static_cast<std::uint32_t>(text.size()));
    put_bytes(out, as_bytes(text));
}

}  // namespace

Bytes lineage_reset_message(const LineageReset& reset) {
    Bytes out;
    put_text(out, "drover-lineage-reset1");
    put_bytes(out, reset.old_lineage.view());
    put_u64(out, reset.old_head_seq);
    put_bytes(out, reset.old_head_hash.view());
    put_u32(out, reset.old_epoch);
    put_bytes(out, reset.new_lineage.view());
    put_u32(out, reset.new_epoch);
    put_u64(out, static_cast<std::uint64_t>(reset.at_micros));
    put_text(out, reset.by);
    put_text(out, reset.reason);
    return out;
}

std::string_view name_of(Handover handover) {
    switch (handover) {
        case Handover::none:
            return "none";
        case Handover::under_way:
            return "under-way";
        case Handover::active:
            return "active";
        case Handover::taken_back:
            return "taken-back";
    }
    DROVER_UNREACHABLE();
}

}  // namespace drover
