#include "eventlog/head_file.h"

#include "base/assert.h"
#include "base/log.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace drover::eventlog {
namespace {

constexpr std::string_view magic = "drvrHEAD";
constexpr std::uint32_t layout_version = 1;
constexpr std::size_t crc_at = head_slot_bytes - 4;

Result<> write_slot(int fd, std::size_t index, const HeadSlot& slot,
                    const std::filesystem::path& path) {
    const Bytes bytes = encode_head_slot(slot);
    ByteView left = bytes;
    auto at = static_cast<off_t>(index * head_slot_bytes);
    while (!left.empty()) {
        const ssize_t put = ::pwrite(fd, left.data(), left.size(), at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno_error(errno, "write", path.native());
        left = left.subspan(static_cast<std::size_t>(put));
        at += put;
    }
    if (::fdatasync(fd) != 0) return errno_error(errno, "sync", path.native());
    return {};
}

using Slots = std::array<std::optional<HeadSlot>, 2>;

Result<Slots> read_slots(const std::filesystem::path& path) {
    auto contents = read_file(path, 2 * head_slot_bytes);
    if (!contents) {
        const bool absent = contents.error().code() == Errc::not_found;
        if (absent || contents.error().code() == Errc::invalid) return Slots{};
        return contents.error();
    }
    Slots slots;
    for (std::size_t i = 0; i < slots.size(); ++i)
        if (contents->size() >= (i + 1) * head_slot_bytes)
            slots[i] =
                decode_head_slot(ByteView(*contents).subspan(i * head_slot_bytes, head_slot_bytes));
    return slots;
}

/// Index of the newest valid slot.
std::optional<std::size_t> newest(const Slots& slots) {
    if (slots[0] && slots[1])
        return slots[0]->generation > slots[1]->generation ? std::size_t{0} : std::size_t{1};
    if (slots[0]) return std::size_t{0};
    if (slots[1]) return std::size_t{1};
    return std::nullopt;
}

}  // namespace

Bytes encode_head_slot(const HeadSlot& slot) {
    Bytes out;
    out.reserve(head_slot_bytes);
    put_bytes(out, as_bytes(magic));
    put_u32(out, layout_version);
    put_u32(out, slot.epoch);
    put_u64(out, slot.generation);
    put_u64(out, slot.seq);
    put_bytes(out, slot.lineage.view());
    put_bytes(out, slot.hash.view());
    out.resize(crc_at);
    put_u32(out, crc32c(out));
    return out;
}

std::optional<HeadSlot> decode_head_slot(ByteView bytes) {
    if (bytes.size() != head_slot_bytes) return std::nullopt;
    if (as_text(bytes.first(magic.size())) != magic) return std::nullopt;
    if (get_u32(bytes, 8) != layout_version) return std::nullopt;
    if (get_u32(bytes, crc_at) != crc32c(bytes.first(crc_at))) return std::nullopt;
    HeadSlot slot;
    slot.epoch = get_u32(bytes, 12);
    slot.generation = get_u64(bytes, 16);
    slot.seq = get_u64(bytes, 24);
    slot.lineage = *Uuid::from(bytes.subspan(32, 16));
    slot.hash = *Hash::from(bytes.subspan(48, 32));
    return slot;
}

Result<> HeadFile::create(const std::filesystem::path& path, const Uuid& lineage) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "create", path.native());
    HeadSlot slot;
    slot.lineage = lineage;
    for (std::size_t i = 0; i < 2; ++i) {
        slot.generation = i + 1;
        TRY_VOID(write_slot(fd.get(), i, slot, path));
    }
    return sync_directory(path.parent_path());
}

Result<std::optional<HeadSlot>> HeadFile::read(const std::filesystem::path& path) {
    TRY(const Slots slots, read_slots(path));
    const auto index = newest(slots);
    return index ? slots[*index] : std::optional<HeadSlot>{};
}

Result<HeadFile> HeadFile::open(const std::filesystem::path& path) {
    TRY(const Slots slots, read_slots(path));
    const auto index = newest(slots);
    if (!index)
        return Error(Errc::corrupt, "head_file_damaged", path.native() + " has no valid slot");
    if (!slots[1 - *index])
        log::warn("eventlog", "one slot of the head file is damaged", "file=" + path.native());
    Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    return HeadFile(path, std::move(fd), *slots[*index], 1 - *index);
}

bool HeadFile::says(const Head& head) const {
    return slot_.lineage == head.lineage && slot_.seq == head.seq && slot_.hash == head.hash &&
           slot_.epoch == head.epoch;
}

Result<> HeadFile::write(const Head& head) {
    DROVER_ASSERT(head.lineage == slot_.lineage);
    HeadSlot next;
    next.generation = slot_.generation + 1;
    next.lineage = head.lineage;
    next.seq = head.seq;
    next.hash = head.hash;
    next.epoch = head.epoch;
    TRY_VOID(write_slot(fd_.get(), next_, next, path_));
    slot_ = next;
    next_ = 1 - next_;
    return {};
}

}  // namespace drover::eventlog
