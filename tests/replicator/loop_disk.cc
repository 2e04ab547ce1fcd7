#include "tests/replicator/loop_disk.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::replicator {

namespace {

/// Another process may take the free device first, so it is tried more than once.
int attach_loop(int backing, std::string& path) {
    const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control.valid()) return -1;
    for (int attempt = 0; attempt < 20; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) return -1;
        path = "/dev/loop" + std::to_string(number);
        Fd disk(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
        if (!disk.valid()) return -1;
        loop_config config{};
        config.fd = static_cast<std::uint32_t>(backing);
        config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_PARTSCAN;
        // Read-only outlives the attachment: an earlier user's fence would still hold.
        int read_only = 0;
        if (::ioctl(disk.get(), LOOP_CONFIGURE, &config) == 0 &&
            ::ioctl(disk.get(), BLKROSET, &read_only) == 0)
            return disk.release();
        if (errno != EBUSY) return -1;
    }
    return -1;
}

std::string accounting_file(const DeviceFacts& facts) {
    return "/sys/dev/block/" + std::to_string(facts.major) + ":" + std::to_string(facts.minor) +
           "/queue/iostats";
}

}  // namespace

DirectBuffer::DirectBuffer(std::size_t length)
    : memory_(static_cast<std::uint8_t*>(std::aligned_alloc(4096, (length + 4095) / 4096 * 4096))),
      length_(length) {
    if (memory_ == nullptr) std::abort();
}

DirectBuffer::~DirectBuffer() {
    std::free(memory_);
}

std::string roomy_directory(std::uint64_t bytes) {
    std::error_code failed;
    const auto room = std::filesystem::space("/dev/shm", failed);
    return !failed && room.available > bytes ? "/dev/shm" : "/var/tmp";
}

bool write_fully(int fd, std::uint64_t offset, std::uint64_t length, std::uint8_t fill) {
    DirectBuffer buffer(length);
    std::ranges::fill(buffer.bytes(), fill);
    return ::pwrite(fd, buffer.bytes().data(), length, static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(length);
}

std::unique_ptr<LoopDisk> LoopDisk::make(std::uint64_t size_bytes, std::string& why,
                                         const std::string& directory) {
    std::string file = directory + "/drover-loop-XXXXXX";
    const Fd backing(::mkostemp(file.data(), O_CLOEXEC));
    std::unique_ptr<LoopDisk> disk(new LoopDisk);
    disk->file_ = file;
    if (!backing.valid() || ::ftruncate(backing.get(), static_cast<off_t>(size_bytes)) != 0) {
        why = std::string("no temporary file: ") + std::strerror(errno);
        return nullptr;
    }
    disk->fd_.reset(attach_loop(backing.get(), disk->facts_.path));

    struct stat status {};

    if (!disk->fd_.valid() || ::fstat(disk->fd_.get(), &status) != 0) {
        why = std::string("no loop device: ") + std::strerror(errno);
        return nullptr;
    }
    disk->facts_.identity = "test-" + file;
    disk->facts_.size_bytes = size_bytes;
    disk->facts_.is_block_device = true;
    disk->facts_.major = major(status.st_rdev);
    disk->facts_.minor = minor(status.st_rdev);
    return disk;
}

LoopDisk::~LoopDisk() {
    // The setting outlives the attachment.
    if (fd_.valid() && !accounting()) (void)set_accounting(true);
    if (fd_.valid()) ::ioctl(fd_.get(), LOOP_CLR_FD);
    ::unlink(file_.c_str());
}

Fd LoopDisk::open() const {
    return Fd(::open(facts_.path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
}

Fd LoopDisk::add_partition(std::uint64_t start, std::uint64_t length) const {
    blkpg_partition partition{};
    partition.start = static_cast<long long>(start);
    partition.length = static_cast<long long>(length);
    partition.pno = 1;
    blkpg_ioctl_arg request{};
    request.op = BLKPG_ADD_PARTITION;
    request.datalen = sizeof(partition);
    request.data = &partition;
    if (::ioctl(fd_.get(), BLKPG, &request) != 0) return {};
    return Fd(::open((facts_.path + "p1").c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
}

bool LoopDisk::write(std::uint64_t offset, std::uint64_t length, std::uint8_t fill) const {
    return write_fully(fd_.get(), offset, length, fill);
}

bool LoopDisk::write_zeroes(std::uint64_t offset, std::uint64_t length) const {
    std::array<std::uint64_t, 2> range = {offset, length};
    return ::ioctl(fd_.get(), BLKZEROOUT, range.data()) == 0;
}

bool LoopDisk::discard(std::uint64_t offset, std::uint64_t length) const {
    std::array<std::uint64_t, 2> range = {offset, length};
    return ::ioctl(fd_.get(), BLKDISCARD, range.data()) == 0;
}

bool LoopDisk::set_accounting(bool on) const {
    const Fd fd(::open(accounting_file(facts_).c_str(), O_WRONLY | O_CLOEXEC));
    return fd.valid() && ::write(fd.get(), on ? "1" : "0", 1) == 1;
}

bool LoopDisk::accounting() const {
    const auto text = read_text(accounting_file(facts_), 64);
    return text && text->starts_with('1');
}

bool LoopDisk::resize(std::uint64_t size_bytes) const {
    return ::truncate(file_.c_str(), static_cast<off_t>(size_bytes)) == 0 &&
           ::ioctl(fd_.get(), LOOP_SET_CAPACITY, 0) == 0;
}

std::uint64_t LoopDisk::allocated_bytes() const {
    struct stat status {};

    return ::stat(file_.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512
                                               : 0;
}

Bytes LoopDisk::contents() const {
    constexpr std::uint64_t step = 1U << 20;
    DirectBuffer buffer(step);
    Bytes all;
    while (all.size() < facts_.size_bytes) {
        const ssize_t got =
            ::pread(fd_.get(), buffer.bytes().data(), step, static_cast<off_t>(all.size()));
        if (got <= 0) return {};
        put_bytes(all, buffer.bytes().first(static_cast<std::size_t>(got)));
    }
    return all;
}

}  // namespace drover::replicator
