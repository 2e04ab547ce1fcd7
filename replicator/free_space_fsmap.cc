// Format: linux/fsmap.h, ioctl_getfsmap(2).
#include "base/fd.h"
#include "replicator/free_space_sources.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include <linux/fsmap.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

namespace drover::replicator {
namespace {

constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();

/// As the kernel's new_encode_dev writes it.
std::uint32_t kernel_number(dev_t device) {
    const std::uint32_t minor_number = minor(device);
    return (minor_number & 0xffU) | (major(device) << 8U) | ((minor_number & ~0xffU) << 12U);
}

Error disordered() {
    return Error(Errc::corrupt, "free_space_unclear",
                 "the filesystem described its space in a wrong order");
}

/// The header and room for `records`, zeroed, as the kernel wants it.
class Question {
  public:
    explicit Question(std::uint32_t records)
        : memory_((fsmap_sizeof(records) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t)) {
        head()->fmh_count = records;
        fsmap& last = head()->fmh_keys[1];
        last.fmr_device = std::numeric_limits<std::uint32_t>::max();
        last.fmr_flags = std::numeric_limits<std::uint32_t>::max();
        last.fmr_physical = last.fmr_owner = last.fmr_offset = all_ones;
    }

    [[nodiscard]] fsmap_head* head() { return reinterpret_cast<fsmap_head*>(memory_.data()); }

    [[nodiscard]] std::span<const fsmap> records() {
        return {head()->fmh_recs, head()->fmh_entries};
    }

  private:
    std::vector<std::uint64_t> memory_;
};

/// What the records of one device say, in their order.
class Reading {
  public:
    explicit Reading(ByteSpan place)
        : place_(place) {}

    [[nodiscard]] Result<> add(const fsmap& record) {
        const std::uint64_t size = place_.length();
        if (record.fmr_physical > size || record.fmr_length > size - record.fmr_physical)
            return disordered();
        const ByteSpan span{place_.begin + record.fmr_physical,
                            place_.begin + record.fmr_physical + record.fmr_length};
        // Shared extents are described once for each owner: starts ascend, ranges may overlap.
        if (span.begin < last_begin_) return disordered();
        last_begin_ = span.begin;
        const bool is_free =
            (record.fmr_flags & FMR_OF_SPECIAL_OWNER) != 0 && record.fmr_owner == FMR_OWN_FREE;
        if (!is_free) {
            // Said to be free before, and used now.
            if (!free_.empty() && free_.back().end > span.begin) return disordered();
            used_upto_ = std::max(used_upto_, span.end);
            return {};
        }
        if (span.begin < used_upto_ || (!free_.empty() && span.begin < free_.back().end))
            return disordered();
        if (span.length() != 0) free_.push_back(span);
        return {};
    }

    [[nodiscard]] std::vector<ByteSpan> take() { return std::move(free_); }

  private:
    ByteSpan place_;
    std::vector<ByteSpan> free_;
    std::uint64_t last_begin_ = 0;
    std::uint64_t used_upto_ = 0;
};

}  // namespace

Result<Free> free_by_fsmap(int root, dev_t device, ByteSpan place, std::uint32_t records) {
    Question question(records);
    Reading reading(place);
    while (true) {
        if (::ioctl(root, FS_IOC_GETFSMAP, question.head()) != 0) {
            if (errno == ENOTTY || errno == EOPNOTSUPP)
                return Error(Errc::unsupported, "free_space_unsupported",
                             "this kernel's filesystem does not tell what is free");
            return errno_error(errno, "ask what is free of", "a mounted filesystem");
        }
        if ((question.head()->fmh_oflags & FMH_OF_DEV_T) == 0)
            return Error(Errc::unsupported, "free_space_unsupported",
                         "the filesystem does not name its devices by number");
        const auto found = question.records();
        for (const fsmap& record : found)
            if (record.fmr_device == kernel_number(device)) TRY_VOID(reading.add(record));
        if (found.empty() || (found.back().fmr_flags & FMR_OF_LAST) != 0) break;
        fsmap_advance(question.head());
    }
    return Free{place, reading.take()};
}

}  // namespace drover::replicator
