/// What a target knows durably about its copy of one job: the file "checkpoint" in the job's state
/// directory, replaced as a whole after every flushed batch, and before a block is overwritten
/// whose sample it holds.
///
///   magic "DRVCKPT1" | version u16 = 2, in journal mode 3, in a test 4 | state u8 | mode u8
///   lineage 16 | job
///   16 | generation 16 batch u64 | serial u64 | disks u32 per disk: mirrored u64 | size u64 |
///   identity length u16 + text
///             samples u32 | per sample, ascending: offset u64 | XXH3-128 of the block 16
///   crc32c u32 over everything before it; all numbers little-endian
///
/// A sample says what lies on the disk for as long as this file says so, whatever was written since
/// the batch that it names: disk_guard.h explains why that holds, and names the allowed offsets.
#pragma once

#include "replicator/disk_guard.h"
#include "replicator/peer_message.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace drover::replicator {

struct CheckpointDisk {
    std::uint64_t mirrored_upto = 0;  ///< bytes: everything below was sent once and is durable
    std::uint64_t size_bytes = 0;
    std::string identity;
    Samples samples;  ///< at sample_offsets() only

    bool operator==(const CheckpointDisk&) const = default;
};

struct Checkpoint {
    Uuid lineage;
    JobId job;
    CheckpointState state = CheckpointState::syncing;
    JournalMode mode = JournalMode::direct;
    /// Nothing may be written to the disks: an overlay stands on them, or may. In journal mode
    /// only.
    bool is_in_test = false;
    Generation generation;  ///< zero until the first batch of any generation is durable
    std::uint64_t batch = 0;
    std::uint64_t serial = 0;  ///< highest ticket serial seen; lower ones are refused
    std::vector<CheckpointDisk> disks;

    [[nodiscard]] PeerCheckpoint for_peer() const;

    bool operator==(const Checkpoint&) const = default;
};

/// Pure.
[[nodiscard]] Bytes encode_checkpoint(const Checkpoint& checkpoint);
/// Errors: corrupt "checkpoint_corrupt", unsupported (written by a newer version).
[[nodiscard]] Result<Checkpoint> decode_checkpoint(ByteView bytes);

[[nodiscard]] std::filesystem::path checkpoint_path(const std::filesystem::path& state_directory);
/// nullopt if there is none. Errors: as above, and io.
[[nodiscard]] Result<std::optional<Checkpoint>> read_checkpoint(
    const std::filesystem::path& state_directory);
[[nodiscard]] Result<> write_checkpoint(const std::filesystem::path& state_directory,
                                        const Checkpoint& checkpoint);

}  // namespace drover::replicator
