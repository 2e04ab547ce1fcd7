#include "replicator/checkpoint.h"

#include "base/assert.h"
#include "base/file.h"

#include <algorithm>
#include <functional>

namespace drover::replicator {
namespace {

constexpr std::string_view magic = "DRVCKPT1";
constexpr std::uint16_t direct_version = 2;
/// What was acknowledged may be in the journal only: a version without journals must not go on.
constexpr std::uint16_t journal_version = 3;
/// The disks are the base of an overlay: a version without tests must not go on.
constexpr std::uint16_t test_version = 4;
constexpr std::size_t fixed_bytes = 8 + 2 + 1 + 1 + 3 * 16 + 8 + 8 + 4;
constexpr std::size_t checkpoint_bytes_max = 1U << 20;
constexpr std::size_t identity_bytes_max = 1024;

Error corrupt(const std::string& why) {
    return Error(Errc::corrupt, "checkpoint_corrupt", "the target's checkpoint is damaged: " + why,
                 "the data on the target's disks; nothing is written to them",
                 "find out what damaged the state directory; then remove the checkpoint file to "
                 "have the disks compared as a whole");
}

void put_samples(Bytes& out, const Samples& samples) {
    put_u32(out, static_cast<std::uint32_t>(samples.size()));
    for (const BlockSample& sample : samples) {
        put_u64(out, sample.offset);
        put_bytes(out, sample.digest.view());
    }
}

/// Takes fields off the front; remembers when there was too little.
class Fields {
  public:
    explicit Fields(ByteView bytes)
        : rest_(bytes) {}

    ByteView take(std::size_t bytes) {
        static const Bytes zeroes(identity_bytes_max);
        if (rest_.size() < bytes) short_ = true;
        if (short_) return ByteView(zeroes).first(std::min(bytes, zeroes.size()));
        const ByteView out = rest_.first(bytes);
        rest_ = rest_.subspan(bytes);
        return out;
    }

    std::uint8_t u8() { return take(1)[0]; }

    std::uint16_t u16() { return get_u16(take(2), 0); }

    std::uint32_t u32() { return get_u32(take(4), 0); }

    std::uint64_t u64() { return get_u64(take(8), 0); }

    [[nodiscard]] bool is_whole() const { return !short_ && rest_.empty(); }

  private:
    ByteView rest_;
    bool short_ = false;
};

Result<CheckpointDisk> take_disk(Fields& fields, const JobId& job, std::size_t number) {
    CheckpointDisk disk;
    disk.mirrored_upto = fields.u64();
    disk.size_bytes = fields.u64();
    if (disk.mirrored_upto > disk.size_bytes) return corrupt("mirrored beyond the end");
    const std::uint16_t length = fields.u16();
    if (length > identity_bytes_max) return corrupt("identity");
    disk.identity = std::string(as_text(fields.take(length)));
    const std::uint32_t count = fields.u32();
    if (count > samples_max) return corrupt("too many samples");
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint64_t offset = fields.u64();
        disk.samples.push_back({offset, *Digest::from(fields.take(16))});
    }
    const auto taken = offsets_of(disk.samples);
    const auto allowed = sample_offsets(job, number, disk.size_bytes);
    const bool ascending = std::ranges::adjacent_find(taken, std::greater_equal<>()) == taken.end();
    if (!ascending || !std::ranges::includes(allowed, taken)) return corrupt("samples");
    return disk;
}

}  // namespace

PeerCheckpoint Checkpoint::for_peer() const {
    PeerCheckpoint out{state, generation, batch, mode, {}};
    for (const CheckpointDisk& disk : disks) out.mirrored_upto.push_back(disk.mirrored_upto);
    return out;
}

Bytes encode_checkpoint(const Checkpoint& checkpoint) {
    Bytes out;
    put_bytes(out, as_bytes(magic));
    const bool is_direct = checkpoint.mode == JournalMode::direct;
    DROVER_ASSERT(!is_direct || !checkpoint.is_in_test);
    put_u16(out, is_direct               ? direct_version
                 : checkpoint.is_in_test ? test_version
                                         : journal_version);
    out.push_back(static_cast<std::uint8_t>(checkpoint.state));
    out.push_back(static_cast<std::uint8_t>(checkpoint.mode));
    put_bytes(out, checkpoint.lineage.view());
    put_bytes(out, checkpoint.job.view());
    put_bytes(out, checkpoint.generation.view());
    put_u64(out, checkpoint.batch);
    put_u64(out, checkpoint.serial);
    put_u32(out, static_cast<std::uint32_t>(checkpoint.disks.size()));
    for (const CheckpointDisk& disk : checkpoint.disks) {
        DROVER_ASSERT(disk.identity.size() <= identity_bytes_max);
        put_u64(out, disk.mirrored_upto);
        put_u64(out, disk.size_bytes);
        put_u16(out, static_cast<std::uint16_t>(disk.identity.size()));
        put_bytes(out, as_bytes(disk.identity));
        put_samples(out, disk.samples);
    }
    put_u32(out, crc32c(out));
    return out;
}

Result<Checkpoint> decode_checkpoint(ByteView bytes) {
    if (bytes.size() < fixed_bytes + 4) return corrupt("too short");
    const ByteView body = bytes.first(bytes.size() - 4);
    if (crc32c(body) != get_u32(bytes, body.size())) return corrupt("checksum");
    Fields fields(body);
    if (as_text(fields.take(magic.size())) != magic) return corrupt("not a checkpoint");
    const std::uint16_t version = fields.u16();
    if (version < direct_version || version > test_version)
        return Error(Errc::unsupported, "checkpoint_too_new",
                     "the target's checkpoint has format " + std::to_string(version),
                     "the data on the target's disks", "run a version that knows this format");
    Checkpoint out;
    const std::uint8_t state = fields.u8();
    const std::uint8_t mode = fields.u8();
    if (state > static_cast<std::uint8_t>(CheckpointState::promoted)) return corrupt("state");
    if (mode != (version == direct_version ? 0 : 1)) return corrupt("mode");
    out.state = static_cast<CheckpointState>(state);
    out.mode = static_cast<JournalMode>(mode);
    out.is_in_test = version == test_version;
    out.lineage = *Uuid::from(fields.take(16));
    out.job = *JobId::from(fields.take(16));
    out.generation = *Generation::from(fields.take(16));
    out.batch = fields.u64();
    out.serial = fields.u64();
    const std::uint32_t count = fields.u32();
    if (count > disks_max) return corrupt("too many disks");
    for (std::uint32_t i = 0; i < count; ++i) {
        TRY(CheckpointDisk disk, take_disk(fields, out.job, i));
        out.disks.push_back(std::move(disk));
    }
    if (!fields.is_whole()) return corrupt("length");
    return out;
}

std::filesystem::path checkpoint_path(const std::filesystem::path& state_directory) {
    return state_directory / "checkpoint";
}

Result<std::optional<Checkpoint>> read_checkpoint(const std::filesystem::path& state_directory) {
    const auto bytes = read_file(checkpoint_path(state_directory), checkpoint_bytes_max);
    if (!bytes && bytes.error().code() == Errc::not_found) return std::optional<Checkpoint>();
    if (!bytes) return bytes.error();
    TRY(Checkpoint checkpoint, decode_checkpoint(*bytes));
    return std::optional<Checkpoint>(std::move(checkpoint));
}

Result<> write_checkpoint(const std::filesystem::path& state_directory,
                          const Checkpoint& checkpoint) {
    return write_file_durably(checkpoint_path(state_directory), encode_checkpoint(checkpoint));
}

}  // namespace drover::replicator
