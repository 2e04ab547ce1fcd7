#include "replicator/free_space.h"

#include "base/assert.h"
#include "base/fd.h"
#include "base/file.h"
#include "replicator/block_map.h"
#include "replicator/diskstats.h"
#include "replicator/free_space_mounts.h"
#include "replicator/free_space_sources.h"

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

constexpr std::size_t proc_bytes_max = 16U << 20;

enum class Kind : std::uint8_t { ext4, xfs, btrfs };

struct KindName {
    Kind kind;
    std::string_view type;
    std::uint32_t magic;  ///< statfs(2)
};

constexpr KindName kind_names[] = {{Kind::ext4, "ext4", 0xEF53},
                                   {Kind::xfs, "xfs", 0x58465342},
                                   {Kind::btrfs, "btrfs", 0x9123683E}};

const KindName* kind_of(const std::string& type) {
    for (const KindName& name : kind_names)
        if (name.type == type) return &name;
    return nullptr;
}

Error unclear(std::string why) {
    return Error(Errc::unsupported, "free_space_unclear", std::move(why));
}

/// A filesystem that found an error may call blocks free that it needs. Only ext4 counts them where
/// they can be read.
Result<> check_health(const MountLine& mount) {
    std::error_code failed;
    const auto node = std::filesystem::canonical(
        disk_directory(major(mount.device), minor(mount.device)), failed);
    const auto text = read_text("/sys/fs/ext4" / node.filename() / "errors_count", 64);
    if (!text) return unclear("its count of errors cannot be read: " + text.error().detail());
    if (*text != "0\n") return unclear("it has recorded errors; check it (e2fsck)");
    return {};
}

/// The root of the filesystem, if the path still leads there. Not through anything but a directory:
/// opening a device or a pipe does something.
Result<Fd> open_root(const MountLine& mount, const KindName& kind) {
    Fd root(::open(mount.point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root.valid()) return errno_error(errno, "open", mount.point);

    struct stat status {};

    struct statfs about {};

    if (::fstat(root.get(), &status) != 0 || ::fstatfs(root.get(), &about) != 0)
        return errno_error(errno, "look at", mount.point);
    // Subvolumes of a btrfs have device numbers of their own.
    const bool is_same = kind.kind == Kind::btrfs || status.st_dev == mount.device;
    if (!is_same || static_cast<std::uint32_t>(about.f_type) != kind.magic)
        return unclear("another filesystem lies at its mount point");
    return root;
}

Result<std::vector<Free>> ask(const MountLine& mount, Kind kind, int root, ByteSpan place,
                              BlockDevice& disk) {
    if (kind == Kind::btrfs) return free_by_chunks(root, disk);
    if (kind == Kind::ext4) TRY_VOID(check_health(mount));
    TRY(Free free, free_by_fsmap(root, mount.device, place));
    return std::vector<Free>{std::move(free)};
}

Result<> sync(int root, const MountLine& mount) {
    if (::syncfs(root) != 0) return errno_error(errno, "sync", mount.point);
    return {};
}

/// One filesystem, by all the places where it is mounted.
struct Mounted {
    const KindName* kind = nullptr;
    std::vector<MountLine> mounts;
    ByteSpan place;  ///< of its device; not known yet for a btrfs
};

/// The first mount that leads to it: a single file may be mounted, too.
Result<Fd> open_any(Mounted& filesystem) {
    Error last;
    for (std::size_t i = 0; i < filesystem.mounts.size(); ++i) {
        auto root = open_root(filesystem.mounts[i], *filesystem.kind);
        if (root) {
            std::swap(filesystem.mounts.front(), filesystem.mounts[i]);
            return std::move(*root);
        }
        last = root.error();
    }
    return last;
}

Result<std::vector<Free>> synced_answer(Mounted& filesystem, BlockDevice& disk) {
    TRY(const Fd root, open_any(filesystem));
    const MountLine& mount = filesystem.mounts.front();
    if (filesystem.kind->kind == Kind::btrfs) {
        TRY(filesystem.place, btrfs_place(root.get(), disk));
    }
    // Read-only: its journal may not have been replayed, and then nobody knows what is free.
    if (!mount.is_writable) return unclear("it is mounted read-only");
    // Before: space that a filesystem hands out first and notes down later (btrfs chunks) is noted
    // for every write that was before the tracker. After: what was just freed stays free, come a
    // crash.
    TRY_VOID(sync(root.get(), mount));
    TRY(std::vector<Free> answer,
        ask(mount, filesystem.kind->kind, root.get(), filesystem.place, disk));
    TRY_VOID(sync(root.get(), mount));
    return answer;
}

void sort_and_join(std::vector<ByteSpan>& spans) {
    std::sort(spans.begin(), spans.end(),
              [](const ByteSpan& a, const ByteSpan& b) { return a.begin < b.begin; });
    std::vector<ByteSpan> joined;
    for (const ByteSpan& span : spans) {
        if (!joined.empty() && span.begin <= joined.back().end)
            joined.back().end = std::max(joined.back().end, span.end);
        else
            joined.push_back(span);
    }
    spans = std::move(joined);
}

/// The largest ones, in their order.
void bound(std::vector<ByteSpan>& spans) {
    if (spans.size() <= free_ranges_max) return;
    std::sort(spans.begin(), spans.end(),
              [](const ByteSpan& a, const ByteSpan& b) { return a.length() > b.length(); });
    spans.resize(free_ranges_max);
    sort_and_join(spans);
}

std::uint64_t total(const std::vector<ByteSpan>& spans) {
    std::uint64_t bytes = 0;
    for (const ByteSpan& span : spans) bytes += span.length();
    return bytes;
}

/// One filesystem, whatever comes of it.
void collect(Mounted& filesystem, BlockDevice& disk, FreeSpace& space) {
    const auto answer = synced_answer(filesystem, disk);
    const MountLine& mount = filesystem.mounts.front();
    FilesystemAnswer about{mount.point, mount.type, filesystem.place, 0, {}};
    if (!answer) {
        // A btrfs that lies elsewhere is none of this disk's.
        if (answer.error().code() == Errc::not_found) return;
        about.why_used = answer.error().detail();
        space.filesystems.push_back(std::move(about));
        return;
    }
    for (const Free& part : *answer) {
        const std::vector<ByteSpan> blocks = whole_blocks(part.free, part.place);
        about.place = part.place;
        about.free_bytes = total(blocks);
        space.ranges.insert(space.ranges.end(), blocks.begin(), blocks.end());
        space.filesystems.push_back(about);
    }
}

/// Those that may lie on the disk, in order of mounting.
std::vector<Mounted> filesystems_of(const DeviceFacts& disk, const std::string& mountinfo) {
    std::vector<Mounted> found;
    for (const MountLine& mount : visible_mounts(mountinfo)) {
        const auto same = std::find_if(found.begin(), found.end(), [&](const Mounted& other) {
            return other.mounts.front().device == mount.device;
        });
        if (same != found.end()) {
            same->mounts.push_back(mount);
            continue;
        }
        const KindName* const kind = kind_of(mount.type);
        if (kind == nullptr) continue;
        // The device number of a btrfs says nothing; its devices are looked at when it is asked.
        const auto place = place_on(disk, mount.device);
        if (place || kind->kind == Kind::btrfs)
            found.push_back({kind, {mount}, place.value_or(ByteSpan{})});
    }
    return found;
}

}  // namespace

std::uint64_t FreeSpace::bytes() const {
    return total(ranges);
}

std::vector<ByteSpan> whole_blocks(std::vector<ByteSpan> free, ByteSpan place) {
    sort_and_join(free);
    std::vector<ByteSpan> blocks;
    for (const ByteSpan& span : free) {
        const std::uint64_t begin = blocks_of(std::max(span.begin, place.begin)) * block_bytes;
        const std::uint64_t end = std::min(span.end, place.end) / block_bytes * block_bytes;
        if (begin < end) blocks.push_back({begin, end});
    }
    return blocks;
}

Result<FreeSpace> read_free_space(BlockDevice& disk, const std::filesystem::path& mountinfo) {
    const DeviceFacts& facts = disk.facts();
    if (!facts.is_block_device)
        return Error(Errc::unsupported, "free_space_unsupported",
                     facts.path + " is an image file: no filesystem is mounted on it");
    TRY(const std::string text, read_text(mountinfo, proc_bytes_max));
    FreeSpace space;
    for (Mounted& filesystem : filesystems_of(facts, text)) collect(filesystem, disk, space);
    sort_and_join(space.ranges);
    bound(space.ranges);
    return space;
}

}  // namespace drover::replicator
