#include "bench/loop_disk.h"

#include "bench/measure.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::size_t step_bytes = 4U << 20;
constexpr std::uint64_t block_bytes = 4096;

std::uint64_t next(std::uint64_t& x) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/// Another process may take the free device first, so it is tried more than once.
Fd attach(int backing, std::string& path) {
    constexpr int attempts_max = 20;
    const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control.valid()) fail("there are no loop devices here, or this is not root");
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) break;
        path = "/dev/loop" + std::to_string(number);
        Fd disk(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        loop_config config{};
        config.fd = static_cast<std::uint32_t>(backing);
        config.block_size = 512;
        // Detached with the last descriptor, so that a benchmark that fails leaves none behind.
        config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
        // Read-only outlives the attachment: an earlier user's fence would still hold.
        int read_only = 0;
        if (disk.valid() && ::ioctl(disk.get(), LOOP_CONFIGURE, &config) == 0 &&
            ::ioctl(disk.get(), BLKROSET, &read_only) == 0)
            return disk;
    }
    fail(std::string("cannot attach a loop device: ") + std::strerror(errno));
}

}  // namespace

PageBuffer::PageBuffer(std::size_t bytes)
    : memory_(static_cast<std::uint8_t*>(std::aligned_alloc(block_bytes, bytes))),
      bytes_(bytes) {
    if (memory_ == nullptr) fail("no memory");
}

PageBuffer::~PageBuffer() {
    std::free(memory_);
}

void PageBuffer::fill(std::uint64_t seed) {
    std::uint64_t x = seed * 0x9E3779B97F4A7C15U + 1;
    for (std::size_t at = 0; at + sizeof x <= bytes_; at += sizeof x) {
        next(x);
        std::memcpy(memory_ + at, &x, sizeof x);
    }
}

LoopDisk::LoopDisk(const std::string& directory, std::uint64_t size_bytes)
    : file_(directory + "/drover-bench-XXXXXX"),
      size_bytes_(size_bytes) {
    const Fd backing(::mkostemp(file_.data(), O_CLOEXEC));
    if (!backing.valid() || ::ftruncate(backing.get(), static_cast<off_t>(size_bytes)) != 0)
        fail("cannot create " + file_);
    disk_ = attach(backing.get(), path_);
}

LoopDisk::~LoopDisk() {
    ::ioctl(disk_.get(), LOOP_CLR_FD);
    ::unlink(file_.c_str());
}

void LoopDisk::write(std::uint64_t offset, const std::uint8_t* data, std::size_t length) {
    if (::pwrite(disk_.get(), data, length, static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(length))
        fail("cannot write " + path_);
}

void LoopDisk::read(std::uint64_t offset, std::uint8_t* data, std::size_t length) {
    if (::pread(disk_.get(), data, length, static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(length))
        fail("cannot read " + path_);
}

void LoopDisk::fill(std::uint64_t offset, std::uint64_t length, std::uint64_t seed) {
    PageBuffer buffer(step_bytes);
    while (length > 0) {
        const std::size_t now = std::min<std::uint64_t>(length, step_bytes);
        buffer.fill(seed + offset);
        write(offset, buffer.data(), now);
        offset += now;
        length -= now;
    }
}

void LoopDisk::change(std::uint64_t blocks, std::uint64_t below_bytes, std::uint64_t seed) {
    // One of each stretch of equal length: scattered, and never the same one twice.
    const std::uint64_t all = below_bytes / block_bytes;
    const std::uint64_t stretch = all / blocks;
    if (stretch == 0) fail("more blocks to change than there are");
    PageBuffer buffer(block_bytes);
    std::uint64_t x = seed * 2 + 1;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        buffer.fill(next(x));
        write((i * stretch + next(x) % stretch) * block_bytes, buffer.data(), block_bytes);
    }
}

void LoopDisk::blank() {
    std::array<std::uint64_t, 2> range = {0, size_bytes_};
    if (::ioctl(disk_.get(), BLKDISCARD, range.data()) != 0) fail("cannot discard " + path_);
}

std::uint64_t LoopDisk::bytes_that_differ(LoopDisk& other) {
    PageBuffer ours(step_bytes);
    PageBuffer theirs(step_bytes);
    std::uint64_t differing = 0;
    for (std::uint64_t offset = 0; offset < size_bytes_; offset += step_bytes) {
        const std::size_t now = std::min<std::uint64_t>(size_bytes_ - offset, step_bytes);
        read(offset, ours.data(), now);
        other.read(offset, theirs.data(), now);
        if (std::memcmp(ours.data(), theirs.data(), now) == 0) continue;
        for (std::size_t i = 0; i < now; ++i) differing += ours.data()[i] != theirs.data()[i];
    }
    return differing;
}

}  // namespace drover::bench
