#include "agent/blank_check.h"

#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include <blkid/blkid.h>
#include <fcntl.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr std::uint64_t sample_bytes = 4096;

Error not_blank(const std::string& path, const std::string& found) {
    return Error(Errc::conflict, "target_not_blank", path + " is not blank: " + found,
                 "everything on it, nothing was written",
                 "expose another disk, or, if its contents may be lost, run drover-agent expose "
                 "with --override-not-blank and the disk's identity on this host");
}

/// What libblkid recognises: a filesystem, RAID or LVM member, swap, or partition table; else
/// empty.
Result<std::string> signature_of(int fd, const std::string& path) {
    const std::unique_ptr<blkid_struct_probe, void (*)(blkid_probe)> probe(blkid_new_probe(),
                                                                           blkid_free_probe);
    if (!probe || blkid_probe_set_device(probe.get(), fd, 0, 0) != 0)
        return errno_error(errno, "probe", path);
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
    blkid_probe_enable_partitions(probe.get(), 1);
    const int outcome = blkid_do_safeprobe(probe.get());
    if (outcome == -2) return std::string("several signatures at once");
    if (outcome < 0) return errno_error(EIO, "probe", path);
    if (outcome == 1) return std::string();
    const char* value = nullptr;
    if (blkid_probe_lookup_value(probe.get(), "TYPE", &value, nullptr) == 0)
        return "it carries a " + printable(value, 32) + " signature";
    if (blkid_probe_lookup_value(probe.get(), "PTTYPE", &value, nullptr) == 0)
        return "it carries a " + printable(value, 32) + " partition table";
    return std::string("it carries a signature");
}

/// Reads [offset, offset + length) and looks for a byte that is not zero.
Result<> check_zero(int fd, const std::string& path, std::uint64_t offset, std::uint64_t length) {
    Bytes buffer(static_cast<std::size_t>(length));
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        const ssize_t got = ::pread(fd, buffer.data() + filled, buffer.size() - filled,
                                    static_cast<off_t>(offset + filled));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path);
        if (got == 0) return errno_error(EIO, "read past the end of", path);
        filled += static_cast<std::size_t>(got);
    }
    const auto data =
        std::find_if(buffer.begin(), buffer.end(), [](std::uint8_t byte) { return byte != 0; });
    if (data == buffer.end()) return {};
    const auto at = offset + static_cast<std::uint64_t>(data - buffer.begin());
    return not_blank(path, "data at byte " + std::to_string(at));
}

}  // namespace

Result<> check_blank_disk(const std::string& path, Random& random) {
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path);
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    if (end < 0) return errno_error(errno, "size", path);
    const auto size = static_cast<std::uint64_t>(end);
    TRY(const std::string signature, signature_of(fd.get(), path));
    if (!signature.empty()) return not_blank(path, signature);
    const std::uint64_t edge = std::min(size, blank_end_bytes);
    TRY_VOID(check_zero(fd.get(), path, 0, edge));
    TRY_VOID(check_zero(fd.get(), path, size - edge, edge));
    if (size <= 2 * blank_end_bytes) return {};
    for (std::uint32_t i = 0; i < blank_samples; ++i) {
        const std::uint64_t at = random.below(size / sample_bytes) * sample_bytes;
        TRY_VOID(check_zero(fd.get(), path, at, sample_bytes));
    }
    return {};
}

}  // namespace drover::agent
