/// What the session says after a restored log began a new lineage: the signed word that made it
/// legitimate, and what each host really holds, so that nobody has to trust an older log.
#pragma once

#include "schemas/effect.h"

namespace drover {

/// Events of the old lineage were lost and a named person accepted that. Signed with the recovery
/// key, which is kept offline and whose public half agents got when they were enrolled.
struct LineageReset {
    Uuid old_lineage;
    std::uint64_t old_head_seq = 0;  ///< the last event of the old lineage that the log has
    Hash old_head_hash;
    std::uint32_t old_epoch = 0;
    Uuid new_lineage;
    std::uint32_t new_epoch = 0;  ///< above every epoch of the old lineage
    WallMicros at_micros = 0;
    std::string by;
    std::string reason;
    Bytes signature;  ///< Ed25519 over lineage_reset_message()

    bool operator==(const LineageReset&) const = default;
};

constexpr std::size_t reset_text_bytes_max = 512;
/// Older ones are left out of a Welcome: an agent that was away for so many restores needs root.
constexpr std::size_t resets_sent_max = 64;

/// The bytes that LineageReset::signature covers: every other field.
[[nodiscard]] Bytes lineage_reset_message(const LineageReset& reset);

/// How far a target was handed to its users.
enum class Handover : std::uint8_t { none = 0, under_way = 1, active = 2, taken_back = 3 };

[[nodiscard]] std::string_view name_of(Handover handover);

/// What one host holds of one side of a job, as its agent finds it there. A FenceToken of zeros:
/// none.
struct JobWorld {
    JobId job;
    Side side = Side::source;
    std::string job_name;                ///< empty when only the job's id is remembered
    std::uint64_t last_seq = 0;          ///< highest causing position of any effect that was taken
    bool busy = false;                   ///< a step runs, or its outcome is not known yet
    bool closed = false;                 ///< cleaned up here: nothing is held but, perhaps, a fence
    FenceToken fence;                    ///< source: a fence stands under this token
    Handover handover = Handover::none;  ///< target
    FenceToken handover_token;           ///< target: of that activation
    /// Source: a disk may have been written under that fence, or root opened it.
    bool breached = false;

    bool operator==(const JobWorld&) const = default;
};

/// Jobs in one WorldFound, those with the highest `last_seq` first.
constexpr std::size_t world_jobs_max = 1024;

}  // namespace drover
