/// A disk as the replicator sees it: a whole block device or an image file. Offsets and lengths in
/// bytes, multiples of `sector_bytes`. The contract (range inside the disk, alignment) is asserted
/// at one place, so that no implementation needs to.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "base/threads.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace drover::replicator {

struct DeviceFacts {
    std::string path;
    std::string
        identity;  ///< wwid or serial; "file:DEV:INODE" for an image; empty if nothing is stable
    std::uint64_t size_bytes = 0;
    std::uint32_t sector_bytes = 512;  ///< logical
    bool is_block_device = false;
    std::uint32_t major = 0;  ///< of a block device
    std::uint32_t minor = 0;
};

struct ReadPart {
    std::uint64_t offset = 0;
    std::span<std::uint8_t> out;
};

struct WritePart {
    std::uint64_t offset = 0;
    ByteView data;
};

class BlockDevice {
  public:
    virtual ~BlockDevice() = default;
    [[nodiscard]] virtual const DeviceFacts& facts() const = 0;

    /// Fills `out` from `offset`. O_DIRECT where the disk allows it: page-cache reads of a live
    /// disk are not coherent. Errors: io (names the range). Blocks. Thread-safe.
    [[nodiscard]] virtual Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) = 0;

    /// Not durable before flush(). Errors: io, unavailable (no space). Blocks. Thread-safe.
    [[nodiscard]] virtual Result<> write(std::uint64_t offset, ByteView data) = 0;

    /// All parts, in any order. A disk that gains from it is asked for many at once, as long as
    /// their memory is page-aligned; else this is one after the other. Returns when none is under
    /// way any more. Errors: those of a part; nobody knows then what the other parts hold. Blocks.
    /// Thread-safe.
    [[nodiscard]] virtual Result<> read_many(std::span<const ReadPart> parts);

    /// As read_many(). `parts`: ascending, and none overlaps the next, because nothing says which
    /// of two would stay. Not durable before flush(). Errors: those of a part; any of the parts may
    /// have been written then.
    [[nodiscard]] virtual Result<> write_many(std::span<const WritePart> parts);

    /// Of those two, from now on: how many parts are under way at a time, at most; a disk may set a
    /// lower limit of its own. Few are kind to its other users, who wait behind them. Thread-safe.
    virtual void limit_depth(unsigned) {}

    /// Makes the range read as zeroes, by the device's own means where it has them.
    [[nodiscard]] virtual Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) = 0;

    /// Everything written before is durable when this returns success. A failure is never retried
    /// as if nothing happened: whatever was written since the last success must be written again.
    [[nodiscard]] virtual Result<> flush() = 0;

    /// Present size; it may differ from facts() if somebody resized the disk.
    [[nodiscard]] virtual Result<std::uint64_t> present_size_bytes() = 0;
};

enum class Access : std::uint8_t { read_only, read_write };

/// Opens without O_EXCL (the guard process holds that, see agent/). Buffers passed to a device
/// opened here may have any address: unaligned ones are copied. Errors: not_found, denied, io,
/// unsupported.
[[nodiscard]] Result<std::unique_ptr<BlockDevice>> open_device(const std::string& path,
                                                               Access access);

/// Memory, with injectable faults: for tests and simulations.
class MemoryDevice final : public BlockDevice {
  public:
    explicit MemoryDevice(std::uint64_t size_bytes, std::uint32_t sector_bytes = 512);

    [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override;
    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] Result<> flush() override;
    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override;

    /// What a power cut would leave: the contents at the last successful flush.
    void lose_power();

    /// The n-th next call of the named kind fails once with io; 0 switches it off.
    void fail_read_in(std::uint32_t calls) { fail_read_in_ = calls; }

    void fail_write_in(std::uint32_t calls) { fail_write_in_ = calls; }

    void fail_flush_in(std::uint32_t calls) { fail_flush_in_ = calls; }

    [[nodiscard]] Bytes& contents() { return contents_; }

  private:
    /// Counts `left` down; true when this call is the one that fails.
    [[nodiscard]] static bool due(std::uint32_t& left);

    Mutex mutex_;
    DeviceFacts facts_;
    Bytes contents_;
    Bytes durable_;
    std::uint32_t fail_read_in_ = 0;
    std::uint32_t fail_write_in_ = 0;
    std::uint32_t fail_flush_in_ = 0;
};

}  // namespace drover::replicator
