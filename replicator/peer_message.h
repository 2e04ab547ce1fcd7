/// What the two agents of a job say to each other, as plain values. The wire form is in
/// schemas/peer.capnp, where every field is explained; conversion: peer_codec.h.
#pragma once

#include "base/clock.h"
#include "replicator/digest.h"
#include "schemas/model.h"

#include <string>
#include <variant>
#include <vector>

namespace drover::replicator {

constexpr std::uint16_t peer_version = 1;
constexpr std::size_t range_digests_max = 4096;
/// Named by both sides in their capabilities: what is written is read back, and said so.
constexpr const char* read_back_capability = "proof.read_back";

enum class JournalMode : std::uint8_t { direct = 0, journal = 1 };

enum class CheckpointState : std::uint8_t { syncing = 0, invalid = 1, promoted = 2 };

struct PeerHello {
    std::uint16_t version_min = peer_version;
    std::uint16_t version_max = peer_version;
    Ticket ticket;
    Generation generation;
    std::string boot_id;
    bool resume = false;
    bool overwrite_acknowledged = false;
    std::vector<std::string> capabilities;
    std::uint8_t lanes = 1;

    bool operator==(const PeerHello&) const = default;
};

/// The target's durable knowledge as the source sees it.
struct PeerCheckpoint {
    CheckpointState state = CheckpointState::syncing;
    Generation generation;
    std::uint64_t batch = 0;
    JournalMode mode = JournalMode::direct;
    std::vector<std::uint64_t> mirrored_upto;
    std::uint64_t verified_batch = 0;

    /// No batch was ever committed and nobody else wrote: a blank target.
    [[nodiscard]] bool is_blank() const {
        return state == CheckpointState::syncing && generation.is_zero();
    }

    bool operator==(const PeerCheckpoint&) const = default;
};

struct PeerWelcome {
    std::uint16_t version = peer_version;
    Uuid session_id;
    JournalMode mode = JournalMode::direct;
    PeerCheckpoint checkpoint;
    std::vector<std::uint64_t> sizes_bytes;
    std::vector<std::string> capabilities;
    std::uint8_t lanes = 1;

    bool operator==(const PeerWelcome&) const = default;
};

struct Commit {
    std::uint64_t batch = 0;
    std::uint64_t frames = 0;
    Digest digest;
    std::vector<std::uint64_t> mirrored_upto;
    Generation generation;
    bool is_point = false;
    WallMicros taken_micros = 0;
    PointKind kind = PointKind::crash;

    bool operator==(const Commit&) const = default;
};

struct RangeQuestion {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t chunk_bytes = 0;

    bool operator==(const RangeQuestion&) const = default;
};

struct HashRange {
    RangeQuestion range;

    bool operator==(const HashRange&) const = default;
};

struct ShaRange {
    RangeQuestion range;

    bool operator==(const ShaRange&) const = default;
};

struct Ping {
    bool operator==(const Ping&) const = default;
};

struct ReadBackWanted {
    bool finish = false;

    bool operator==(const ReadBackWanted&) const = default;
};

struct CompareRange {
    RangeQuestion range;
    bool settled = false;

    bool operator==(const CompareRange&) const = default;
};

struct HoldingWanted {
    bool operator==(const HoldingWanted&) const = default;
};

using SourceMessage = std::variant<PeerHello, Commit, HashRange, ShaRange, Ping, ReadBackWanted,
                                   CompareRange, HoldingWanted>;

struct PeerRefused {
    Error error;

    bool operator==(const PeerRefused&) const = default;
};

struct Committed {
    std::uint64_t batch = 0;

    bool operator==(const Committed&) const = default;
};

struct RangeHashes {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::vector<Digest> digests;

    bool operator==(const RangeHashes&) const = default;
};

struct RangeLeaves {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::vector<Hash> leaves;

    bool operator==(const RangeLeaves&) const = default;
};

struct Working {
    bool operator==(const Working&) const = default;
};

struct Waiting {
    Error reason;

    bool operator==(const Waiting&) const = default;
};

struct Pong {
    bool operator==(const Pong&) const = default;
};

struct ReadBackFound {
    std::uint64_t verified_batch = 0;
    std::uint64_t unverified_bytes = 0;
    std::uint64_t read_bytes = 0;
    std::uint64_t differed_bytes = 0;
    std::vector<ByteRange> differing;

    bool operator==(const ReadBackFound&) const = default;
};

struct RangeCompared {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::vector<Hash> hashes;
    Bytes written;

    bool operator==(const RangeCompared&) const = default;
};

struct Holding {
    PeerCheckpoint checkpoint;
    std::uint64_t journal_lag_bytes = 0;

    bool operator==(const Holding&) const = default;
};

using TargetMessage = std::variant<PeerWelcome, PeerRefused, Committed, RangeHashes, RangeLeaves,
                                   Working, Pong, ReadBackFound, RangeCompared, Holding,
                                   Waiting>;

struct BulkHello {
    Uuid session_id;
    Ticket ticket;
    std::uint8_t lane = 0;
    std::uint8_t lanes = 1;

    bool operator==(const BulkHello&) const = default;
};

}  // namespace drover::replicator
