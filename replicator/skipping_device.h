/// A source disk as its mirror is to be: blocks that a first mirror leaves out (free_space.h) read
/// as zeroes, all others as what the disk holds. Everything that reads the source goes through it,
/// so that what is sent, compared and proved is the same, and the target needs to know nothing: at
/// blocks that are left out it holds zeroes (ADR 0016).
///
///   not begun ─begin─► begun: the map only shrinks ─revoke─► not begun
///
/// The map lies in a file beside the pending maps: it survives a killed process, not a reboot.
#pragma once

#include "replicator/block_map.h"
#include "replicator/free_space.h"
#include "replicator/shared_map.h"

namespace drover::replicator {

class SkippingDevice final : public BlockDevice {
  public:
    /// `words` of the map: map_words(size). A fresh one is not begun.
    SkippingDevice(std::unique_ptr<BlockDevice> disk, SharedMap map, std::filesystem::path path);

    [[nodiscard]] static std::uint64_t map_words(std::uint64_t size_bytes);

    [[nodiscard]] bool is_begun() const;
    /// From here on the blocks of `ranges` are left out, and no others.
    void begin(const std::vector<ByteSpan>& ranges);
    /// Nothing is left out any more.
    void revoke();
    /// These were written: for good no longer left out. Call it before they are read.
    void keep(std::uint64_t first_block, std::uint64_t count);
    /// What is left out; only while it is begun.
    [[nodiscard]] BlockMap skipped() const;

    /// The disk itself.
    [[nodiscard]] BlockDevice& whole() { return *disk_; }

    /// Removes the file; the object is then only good for destruction.
    void forget();

    [[nodiscard]] const DeviceFacts& facts() const override { return disk_->facts(); }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
    [[nodiscard]] Result<> read_many(std::span<const ReadPart> parts) override;

    void limit_depth(unsigned depth) override { disk_->limit_depth(depth); }

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override;
    [[nodiscard]] Result<> write_many(std::span<const WritePart> parts) override;
    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] Result<> flush() override;
    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override;

  private:
    void set_begun(bool begun);
    /// Zeroes in what is left out of a part; what is not is added to `kept`.
    void add_kept(const ReadPart& part, std::vector<ReadPart>& kept) const;

    std::unique_ptr<BlockDevice> disk_;
    SharedMap map_;
    std::filesystem::path path_;
};

}  // namespace drover::replicator
