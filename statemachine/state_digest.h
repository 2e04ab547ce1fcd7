/// The digest of a job's state that is stored in the log (StateDigest), so that a replay that comes
/// to another state can name the event where it parted. Pure.
///
/// A version is a frozen list of fields in a frozen order and form, independent of JSON and of the
/// wire: a log keeps its digests for ever, and every version that was ever written is still
/// computed. A new member of Job means a new version, which is the list of the one before and what
/// is new. Form, all little-endian:
///
///   "drover-state-" version | fields of Job in the order of the lists
///   number, enum: u64   bool: u8   text, bytes: u32 length | bytes   hash, uuid: its bytes
///   optional: u8 0, or 1 | value   list, map: u32 count | elements (a map's: key | value)
///   cause: seq | wall_micros
///
/// What is the log's own is not in it: the hash of a cause, known only once the event is stored,
/// and the lineage, which a restore changes.
#pragma once

#include "statemachine/job.h"

#include <cstdint>
#include <optional>

namespace drover::statemachine {

/// The newest version, the one that is written.
constexpr std::uint64_t digest_version = 2;
/// A job's stream gets a digest at least after the events that reach a multiple of this.
constexpr std::uint32_t digest_every = 32;

/// SHA-256 of the canonical bytes; nullopt for a version that this binary does not know.
[[nodiscard]] std::optional<Hash> state_digest(const Job& job, std::uint64_t version);

/// The bytes under a digest of a known version.
[[nodiscard]] Bytes state_bytes(const Job& job, std::uint64_t version);

}  // namespace drover::statemachine
