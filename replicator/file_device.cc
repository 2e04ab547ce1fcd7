/// Block devices and image files through pread and pwrite.
///
///   many parts ─► those on direct_alignment, in memory and on the disk ─► io_ring.h
///            └─► the rest, one after the other
///   range ─► the part on direct_alignment ─► O_DIRECT descriptor (bounced if the address is odd)
///        └─► the rest (end of an odd-sized image, or no O_DIRECT here) ─► page cache descriptor
///
/// Both descriptors name the same inode, whose page cache the kernel keeps coherent with direct
/// I/O. A whole block device never uses the second one: its size is a multiple of its sector.
#include "base/file.h"
#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/device_identity.h"
#include "replicator/device_range.h"
#include "replicator/io_ring.h"
#include "replicator/zeroing.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

constexpr std::size_t transfer_bytes_max = 1U << 20;

class FileDevice final : public BlockDevice {
  public:
    FileDevice(DeviceFacts facts, Fd direct, Fd cached)
        : facts_(std::move(facts)),
          direct_(std::move(direct)),
          cached_(std::move(cached)),
          direct_unit_(facts_.is_block_device ? facts_.sector_bytes : direct_alignment) {}

    [[nodiscard]] const DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override;
    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override;
    [[nodiscard]] Result<> read_many(std::span<const ReadPart> parts) override;
    [[nodiscard]] Result<> write_many(std::span<const WritePart> parts) override;
    void limit_depth(unsigned depth) override;
    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
    [[nodiscard]] Result<> flush() override;
    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override;

  private:
    [[nodiscard]] std::size_t direct_part(std::uint64_t offset, std::size_t length) const;
    [[nodiscard]] Error failed(int number, std::string_view action, std::uint64_t offset,
                               std::uint64_t length) const;
    [[nodiscard]] Result<> read_with(int fd, std::uint64_t offset, std::span<std::uint8_t> out);
    [[nodiscard]] Result<> write_with(int fd, std::uint64_t offset, ByteView data);
    [[nodiscard]] Error ended_early(std::uint64_t offset) const;
    [[nodiscard]] bool goes_at_depth(std::uint64_t offset, ByteView memory) const;
    [[nodiscard]] std::unique_ptr<IoRing> take_ring();
    void give_back(std::unique_ptr<IoRing> ring);
    [[nodiscard]] Result<> move(IoRing::Way way, std::vector<Transfer> parts);
    [[nodiscard]] Result<> move_singly(IoRing::Way way, std::span<const Transfer> parts);
    [[nodiscard]] bool zero_by_device(std::uint64_t offset, std::uint64_t length);

    DeviceFacts facts_;
    Fd direct_;  ///< invalid where the file system refuses O_DIRECT
    Fd cached_;
    std::uint64_t direct_unit_;
    Zeroing zeroing_;

    Mutex rings_mutex_;
    std::vector<std::unique_ptr<IoRing>> rings_;  ///< nobody's at the moment
    bool has_rings_ = true;
    std::atomic<unsigned> depth_ = IoRing::depth_max;
};

/// Bytes at the start of the range that the O_DIRECT descriptor can transfer.
std::size_t FileDevice::direct_part(std::uint64_t offset, std::size_t length) const {
    if (!direct_.valid() || offset % direct_unit_ != 0) return 0;
    return static_cast<std::size_t>(length - length % direct_unit_);
}

Error FileDevice::failed(int number, std::string_view action, std::uint64_t offset,
                         std::uint64_t length) const {
    const std::string range =
        " of bytes " + std::to_string(offset) + "+" + std::to_string(length) + " failed: ";
    const std::string detail =
        facts_.path + ": " + std::string(action) + range + std::generic_category().message(number);
    if (number == ENXIO || number == ENODEV)
        return Error(Errc::io, "disk_vanished", detail, "what was copied before",
                     "attach the disk again and retry the job");
    if (number == ENOSPC)
        return Error(Errc::unavailable, "disk_full", detail, "what was copied before",
                     "free space below this disk; the job goes on by itself");
    return Error(Errc::io, "disk_" + std::string(action) + "_failed", detail,
                 "what was copied before; nothing unread is called synchronised",
                 "check the disk and its cables in the kernel log, then retry the job");
}

Error FileDevice::ended_early(std::uint64_t offset) const {
    return Error(Errc::io, "disk_resized",
                 facts_.path + " ends at byte " + std::to_string(offset) + ", before its size of " +
                     std::to_string(facts_.size_bytes));
}

Result<> FileDevice::read_with(int fd, std::uint64_t offset, std::span<std::uint8_t> out) {
    while (!out.empty()) {
        const ssize_t got = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return failed(errno, "read", offset, out.size());
        if (got == 0) return ended_early(offset);
        out = out.subspan(static_cast<std::size_t>(got));
        offset += static_cast<std::uint64_t>(got);
    }
    return {};
}

Result<> FileDevice::write_with(int fd, std::uint64_t offset, ByteView data) {
    while (!data.empty()) {
        const ssize_t put = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return failed(errno, "write", offset, data.size());
        if (put == 0) return failed(ENOSPC, "write", offset, data.size());
        data = data.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return {};
}

bool is_aligned(const std::uint8_t* address) {
    return reinterpret_cast<std::uintptr_t>(address) % direct_alignment == 0;
}

Result<> FileDevice::read(std::uint64_t offset, std::span<std::uint8_t> out) {
    assert_range(facts_, offset, out.size());
    std::span<std::uint8_t> direct = out.first(direct_part(offset, out.size()));
    const auto rest = out.subspan(direct.size());
    if (!rest.empty()) TRY_VOID(read_with(cached_.get(), offset + direct.size(), rest));
    if (direct.empty() || is_aligned(direct.data()))
        return read_with(direct_.get(), offset, direct);
    const AlignedBuffer bounce(std::min(direct.size(), transfer_bytes_max));
    while (!direct.empty()) {
        const auto piece = bounce.first(std::min(direct.size(), transfer_bytes_max));
        TRY_VOID(read_with(direct_.get(), offset, piece));
        std::copy(piece.begin(), piece.end(), direct.begin());
        direct = direct.subspan(piece.size());
        offset += piece.size();
    }
    return {};
}

Result<> FileDevice::write(std::uint64_t offset, ByteView data) {
    assert_range(facts_, offset, data.size());
    ByteView direct = data.first(direct_part(offset, data.size()));
    const ByteView rest = data.subspan(direct.size());
    if (!rest.empty()) TRY_VOID(write_with(cached_.get(), offset + direct.size(), rest));
    if (direct.empty() || is_aligned(direct.data()))
        return write_with(direct_.get(), offset, direct);
    const AlignedBuffer bounce(std::min(direct.size(), transfer_bytes_max));
    while (!direct.empty()) {
        const auto piece = bounce.first(std::min(direct.size(), transfer_bytes_max));
        std::copy_n(direct.begin(), piece.size(), piece.begin());
        TRY_VOID(write_with(direct_.get(), offset, piece));
        direct = direct.subspan(piece.size());
        offset += piece.size();
    }
    return {};
}

// ---- many at once ----

bool FileDevice::goes_at_depth(std::uint64_t offset, ByteView memory) const {
    return !memory.empty() && direct_part(offset, memory.size()) == memory.size() &&
           is_aligned(memory.data());
}

/// Threads that use the disk at the same time have one each.
std::unique_ptr<IoRing> FileDevice::take_ring() {
    {
        const std::lock_guard lock(rings_mutex_);
        if (!has_rings_) return nullptr;
        if (!rings_.empty()) {
            auto ring = std::move(rings_.back());
            rings_.pop_back();
            return ring;
        }
    }
    auto made = IoRing::make();
    if (made) return made;
    const std::lock_guard lock(rings_mutex_);
    has_rings_ = false;
    return nullptr;
}

void FileDevice::give_back(std::unique_ptr<IoRing> ring) {
    const std::lock_guard lock(rings_mutex_);
    rings_.push_back(std::move(ring));
}

Result<> FileDevice::move_singly(IoRing::Way way, std::span<const Transfer> parts) {
    for (const Transfer& part : parts) {
        const std::span memory(part.memory, part.length);
        TRY_VOID(way == IoRing::Way::read ? read_with(direct_.get(), part.offset, memory)
                                          : write_with(direct_.get(), part.offset, memory));
    }
    return {};
}

Result<> FileDevice::move(IoRing::Way way, std::vector<Transfer> parts) {
    auto ring = parts.size() > 1 ? take_ring() : nullptr;
    if (!ring) return move_singly(way, parts);
    Transfers transfers(std::move(parts), direct_unit_);
    ring->run(direct_.get(), way, transfers, depth_);
    give_back(std::move(ring));
    if (!transfers.failure()) return {};
    const auto [rest, number] = *transfers.failure();
    const bool reads = way == IoRing::Way::read;
    if (reads && number == 0) return ended_early(rest.offset);
    return failed(number == 0 ? ENOSPC : number, reads ? "read" : "write", rest.offset,
                  rest.length);
}

void FileDevice::limit_depth(unsigned depth) {
    depth_ = std::clamp(depth, 1U, IoRing::depth_max);
}

Result<> FileDevice::read_many(std::span<const ReadPart> parts) {
    std::vector<Transfer> direct;
    direct.reserve(parts.size());
    for (const ReadPart& part : parts) {
        assert_range(facts_, part.offset, part.out.size());
        if (goes_at_depth(part.offset, part.out)) {
            direct.push_back({part.offset, part.out.data(), part.out.size()});
        } else {
            TRY_VOID(read(part.offset, part.out));
        }
    }
    return move(IoRing::Way::read, std::move(direct));
}

Result<> FileDevice::write_many(std::span<const WritePart> parts) {
    assert_parts(facts_, parts);
    std::vector<Transfer> direct;
    direct.reserve(parts.size());
    for (const WritePart& part : parts) {
        if (goes_at_depth(part.offset, part.data)) {
            // A transfer of either way: nothing is stored there when it is written to the disk.
            auto* memory = const_cast<std::uint8_t*>(part.data.data());
            direct.push_back({part.offset, memory, part.data.size()});
        } else {
            TRY_VOID(write(part.offset, part.data));
        }
    }
    return move(IoRing::Way::write, std::move(direct));
}

/// A hole reads as zeroes and keeps a thin disk thin; of a block device, the kernel makes one only
/// where it is sure of that. BLKZEROOUT writes the zeroes if it must.
bool FileDevice::zero_by_device(std::uint64_t offset, std::uint64_t length) {
    const int fd = facts_.is_block_device ? direct_.get() : cached_.get();
    if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                    static_cast<off_t>(length)) == 0)
        return true;
    std::uint64_t range[2] = {offset, length};
    return facts_.is_block_device && ::ioctl(fd, BLKZEROOUT, range) == 0;
}

Result<> FileDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
    assert_range(facts_, offset, length);
    return zeroing_.zero(*this, offset, length, [this](std::uint64_t from, std::uint64_t bytes) {
        return zero_by_device(from, bytes);
    });
}

Result<> FileDevice::flush() {
    if (::fdatasync(cached_.valid() ? cached_.get() : direct_.get()) != 0)
        return failed(errno, "flush", 0, facts_.size_bytes);
    return {};
}

Result<std::uint64_t> FileDevice::present_size_bytes() {
    if (facts_.is_block_device) {
        std::uint64_t bytes = 0;
        if (::ioctl(direct_.get(), BLKGETSIZE64, &bytes) != 0)
            return failed(errno, "size", 0, facts_.size_bytes);
        return bytes;
    }

    struct stat status {};

    if (::fstat(cached_.get(), &status) != 0) return failed(errno, "size", 0, facts_.size_bytes);
    return static_cast<std::uint64_t>(status.st_size);
}

Result<Fd> open_fd(const std::string& path, int flags) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.valid()) return errno_error(errno, "open", path);
    return fd;
}

Result<std::unique_ptr<BlockDevice>> open_block_device(DeviceFacts facts, dev_t number, int flags) {
    TRY(Fd direct, open_fd(facts.path, flags | O_DIRECT));
    int sector_bytes = 0;
    if (::ioctl(direct.get(), BLKGETSIZE64, &facts.size_bytes) != 0)
        return errno_error(errno, "size of", facts.path);
    if (::ioctl(direct.get(), BLKSSZGET, &sector_bytes) != 0)
        return errno_error(errno, "sector size of", facts.path);
    facts.sector_bytes = static_cast<std::uint32_t>(sector_bytes);
    facts.is_block_device = true;
    facts.major = ::major(number);
    facts.minor = ::minor(number);
    facts.identity = block_device_identity(facts.major, facts.minor);
    return std::make_unique<FileDevice>(std::move(facts), std::move(direct), Fd());
}

}  // namespace

Result<std::unique_ptr<BlockDevice>> open_device(const std::string& path, Access access) {
    const int flags = access == Access::read_only ? O_RDONLY : O_RDWR;

    struct stat status {};

    if (::stat(path.c_str(), &status) != 0) return errno_error(errno, "open", path);
    DeviceFacts facts;
    facts.path = path;
    if (S_ISBLK(status.st_mode)) return open_block_device(std::move(facts), status.st_rdev, flags);
    if (!S_ISREG(status.st_mode))
        return Error(Errc::unsupported, "not_a_disk",
                     path + " is neither a block device nor an image file", {},
                     "name a whole disk, for example /dev/vdb, or an image file");
    TRY(Fd cached, open_fd(path, flags));
    if (::fstat(cached.get(), &status) != 0) return errno_error(errno, "size of", path);
    facts.size_bytes = static_cast<std::uint64_t>(status.st_size);
    facts.identity = file_identity(status.st_dev, status.st_ino);
    // tmpfs and some network file systems refuse O_DIRECT; the page cache of a plain file is
    // coherent.
    Fd direct(::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC));
    return std::make_unique<FileDevice>(std::move(facts), std::move(direct), std::move(cached));
}

}  // namespace drover::replicator
