#include "replicator/journal_file.h"

#include "base/file.h"
#include "replicator/aligned_buffer.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

constexpr std::size_t piece_bytes = 1U << 20;

struct Unfit {
    std::uint32_t magic = 0;
    const char* name = "";
};

/// Numbers without a name in linux/magic.h are those of the kernel's own sources.
constexpr std::array unfit{
    Unfit{TMPFS_MAGIC, "tmpfs"},   Unfit{RAMFS_MAGIC, "ramfs"},     Unfit{NFS_SUPER_MAGIC, "NFS"},
    Unfit{SMB_SUPER_MAGIC, "SMB"}, Unfit{CIFS_SUPER_MAGIC, "CIFS"}, Unfit{SMB2_SUPER_MAGIC, "SMB"},
    Unfit{V9FS_MAGIC, "9p"},       Unfit{CEPH_SUPER_MAGIC, "Ceph"}, Unfit{FUSE_SUPER_MAGIC, "FUSE"},
};

/// Allocation alone would do for the room, but each block's first write would change metadata.
Result<> fill(BlockDevice& file) {
    const AlignedBuffer zeroes(piece_bytes);
    std::ranges::fill(zeroes.first(piece_bytes), std::uint8_t{0});
    const std::uint64_t size = file.facts().size_bytes;
    for (std::uint64_t at = 0; at < size; at += piece_bytes)
        TRY_VOID(file.write(at, zeroes.first(std::min<std::uint64_t>(piece_bytes, size - at))));
    return file.flush();
}

Result<> make_whole(const std::filesystem::path& path, std::uint64_t bytes) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "create", path.native());
    const int allocated = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
    if (allocated == ENOSPC || allocated == EDQUOT || allocated == EFBIG)
        return Error(
            Errc::unavailable, "journal_no_space",
            path.native() + ": no room for a journal of " + std::to_string(bytes) + " bytes",
            "the copy so far", "free space there; the source tries again by itself");
    if (allocated != 0) return errno_error(allocated, "allocate", path.native());
    TRY(const auto file, open_device(path.native(), Access::read_write));
    TRY_VOID(fill(*file));
    return ::fsync(fd.get()) == 0 ? Result<>() : errno_error(errno, "sync", path.native());
}

}  // namespace

Result<> check_journal_directory(const std::filesystem::path& directory) {
    struct statfs status {};

    if (::statfs(directory.c_str(), &status) != 0)
        return errno_error(errno, "look at", directory.native());
    const auto magic = static_cast<std::uint32_t>(status.f_type);
    const auto* const found = std::ranges::find(unfit, magic, &Unfit::magic);
    if (found == unfit.end()) return {};
    return Error(Errc::unsupported, "journal_not_durable",
                 directory.native() + " is on " + found->name +
                     ", which does not keep a journal through a power cut of this host",
                 "the copy so far", "name a directory on a local file system of another disk");
}

Result<std::unique_ptr<BlockDevice>> make_journal_file(const std::filesystem::path& path,
                                                       std::uint64_t bytes) {
    TRY_VOID(check_journal_directory(path.parent_path()));
    const std::filesystem::path fresh = path.native() + ".new";
    TRY_VOID(remove_file_durably(fresh));
    if (const auto made = make_whole(fresh, bytes); !made) {
        // The first error says what is wrong; a file that stays is replaced the next time.
        (void)remove_file_durably(fresh);
        return made.error();
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0)
        return errno_error(errno, "rename", fresh.native());
    TRY_VOID(sync_directory(path.parent_path()));
    return open_journal_file(path);
}

Result<std::unique_ptr<BlockDevice>> open_journal_file(const std::filesystem::path& path) {
    return open_device(path.native(), Access::read_write);
}

}  // namespace drover::replicator
