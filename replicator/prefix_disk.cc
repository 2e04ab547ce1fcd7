#include "replicator/prefix_disk.h"

#include "replicator/source_state.h"

namespace drover::replicator {
namespace {

class PrefixDevice final : public BlockDevice {
  public:
    PrefixDevice(std::unique_ptr<BlockDevice> disk, std::uint64_t size_bytes)
        : disk_(std::move(disk)),
          facts_(disk_->facts()),
          whole_bytes_(facts_.size_bytes) {
        facts_.size_bytes = size_bytes;
    }

    [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        return disk_->read(offset, out);
    }

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        return disk_->write(offset, data);
    }

    [[nodiscard]] Result<> read_many(std::span<const ReadPart> parts) override {
        return disk_->read_many(parts);
    }

    [[nodiscard]] Result<> write_many(std::span<const WritePart> parts) override {
        return disk_->write_many(parts);
    }

    void limit_depth(unsigned depth) override { disk_->limit_depth(depth); }

    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
        return disk_->write_zeroes(offset, length);
    }

    [[nodiscard]] Result<> flush() override { return disk_->flush(); }

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override {
        TRY(const std::uint64_t present, disk_->present_size_bytes());
        return present == whole_bytes_ ? facts_.size_bytes : present;
    }

  private:
    std::unique_ptr<BlockDevice> disk_;
    DeviceFacts facts_;
    std::uint64_t whole_bytes_;
};

class PrefixTracker final : public ChangeTracker {
  public:
    PrefixTracker(std::unique_ptr<ChangeTracker> tracker, std::uint64_t blocks)
        : tracker_(std::move(tracker)),
          blocks_(blocks) {}

    [[nodiscard]] std::string_view kind() const override { return tracker_->kind(); }

    [[nodiscard]] const Generation& generation() const override { return tracker_->generation(); }

    [[nodiscard]] bool resumed() const override { return tracker_->resumed(); }

    [[nodiscard]] BlockMap dirty() override { return tracker_->dirty().first(blocks_); }

    [[nodiscard]] Result<> refresh() override { return tracker_->refresh(); }

    void observe(std::uint64_t offset, ByteView data) override { tracker_->observe(offset, data); }

    [[nodiscard]] std::uint64_t observe_bytes() const override { return tracker_->observe_bytes(); }

    [[nodiscard]] std::uint64_t seq() override { return tracker_->seq(); }

    [[nodiscard]] Result<Audit> audit() override { return tracker_->audit(); }

    void forget() override { tracker_->forget(); }

  private:
    std::unique_ptr<ChangeTracker> tracker_;
    std::uint64_t blocks_;
};

}  // namespace

Result<SourceDisk> prefix_of(SourceDisk disk, std::uint64_t size_bytes) {
    const DeviceFacts& facts = disk.device->facts();
    if (facts.size_bytes == size_bytes) return disk;
    if (facts.size_bytes < size_bytes)
        return Error(Errc::invalid, "disk_resized", facts.path + " is smaller than it was planned",
                     "all data on both sides", "give the disk its size back");
    const std::uint64_t blocks = blocks_of(size_bytes);
    BlockMap dirty = disk.tracker->dirty();
    // What lies behind the last block in the same word is in no view of the prefix.
    if (dirty.any(blocks, dirty.blocks() - blocks))
        return changes_unknown(facts.path + " was written beyond the end of the source's disk");
    disk.device = std::make_unique<PrefixDevice>(std::move(disk.device), size_bytes);
    disk.tracker = std::make_unique<PrefixTracker>(std::move(disk.tracker), blocks);
    return disk;
}

}  // namespace drover::replicator
