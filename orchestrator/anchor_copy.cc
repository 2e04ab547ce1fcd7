#include "orchestrator/anchor_copy.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace drover::orchestrator {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t piece_bytes = 64U << 10;
using Piece = std::array<std::uint8_t, piece_bytes>;

/// Up to a whole piece, or `bytes_max`; shorter only at the end of the file.
Result<ByteView> read_piece(const Fd& fd, Piece& piece, const fs::path& path,
                            std::uint64_t bytes_max = piece_bytes) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, piece.size()));
    std::size_t filled = 0;
    while (filled < wanted) {
        const ssize_t got = ::read(fd.get(), piece.data() + filled, wanted - filled);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path.native());
        if (got == 0) break;
        filled += static_cast<std::size_t>(got);
    }
    return ByteView(piece).first(filled);
}

Error differs(const fs::path& own, const fs::path& copy) {
    return Error(Errc::conflict, "anchor_copy_differs",
                 copy.native() + " is not the beginning of " + own.native(),
                 "both files are left as they are",
                 "find out which of them was changed (drover audit verify --anchors FILE), then "
                 "move the copy away");
}

}  // namespace

Result<> bring_up_to_date(const fs::path& own, const fs::path& copy, std::uint64_t bytes) {
    const Fd from(::open(own.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from.valid()) return errno_error(errno, "open", own.native());
    const Fd to(::open(copy.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!to.valid()) return errno_error(errno, "open", copy.native());
    Piece ours{};
    Piece theirs{};
    // Reading moves both along, so that a write lands behind what is there already.
    while (true) {
        TRY(const ByteView wanted, read_piece(from, ours, own, bytes));
        TRY(const ByteView there, read_piece(to, theirs, copy));
        const bool is_beginning =
            there.size() <= wanted.size() && std::equal(there.begin(), there.end(), wanted.begin());
        if (!is_beginning) return differs(own, copy);
        if (there.size() < wanted.size())
            TRY_VOID(write_all(to.get(), wanted.subspan(there.size()), copy.native()));
        if (wanted.size() < piece_bytes) break;
        bytes -= wanted.size();
    }
    // Also where nothing was missing: an earlier attempt may have failed right here.
    if (::fsync(to.get()) != 0) return errno_error(errno, "fsync", copy.native());
    return sync_directory(fs::absolute(copy).parent_path());
}

/// What the thread uses, and with it whoever waits for it.
struct AnchorCopy::Work {
    const fs::path own;
    const fs::path copy;
    Mutex mutex;
    Condition changed;
    std::uint64_t bytes;  ///< of `own` that are durable
    Status status = {};
    std::optional<SteadyMillis> began_ms = {};  ///< of the attempt that is under way
    bool is_due = true;
    bool is_stopping = false;
    bool is_over = false;
};

AnchorCopy::AnchorCopy(fs::path own, fs::path copy, std::uint64_t bytes, AnchorCopyLimits limits)
    : limits_(limits),
      work_(new Work{.own = std::move(own),
                     .copy = std::move(copy),
                     .mutex = {},
                     .changed = {},
                     .bytes = bytes}),
      thread_([work = work_] { run(*work); }) {}

AnchorCopy::~AnchorCopy() {
    std::unique_lock lock(work_->mutex);
    work_->is_stopping = true;
    work_->changed.notify_all();
    const bool is_over =
        work_->changed.wait_for(lock, limits_.stop_ms, [this] { return work_->is_over; });
    lock.unlock();
    if (is_over) {
        thread_.join();
        return;
    }
    log::error("anchors", "the copy of the anchors hangs and is left as it is");
    thread_.detach();
}

void AnchorCopy::wake(std::uint64_t bytes) {
    const std::lock_guard lock(work_->mutex);
    work_->bytes = bytes;
    work_->is_due = true;
    work_->status.is_current = false;
    work_->changed.notify_all();
}

AnchorCopy::Status AnchorCopy::status() const {
    const std::lock_guard lock(work_->mutex);
    Status status = work_->status;
    if (work_->began_ms && monotonic_ms() - *work_->began_ms >= limits_.hang_ms)
        status.alarm =
            Error(Errc::timed_out, "anchor_copy_hangs", work_->copy.native() + " does not answer",
                  "the anchors beside the log; migrations go on",
                  "look at the volume of the second path");
    return status;
}

const fs::path& AnchorCopy::path() const {
    return work_->copy;
}

void AnchorCopy::run(Work& work) {
    std::unique_lock lock(work.mutex);
    while (!work.is_stopping) {
        work.is_due = false;
        work.began_ms = monotonic_ms();
        const std::uint64_t bytes = work.bytes;
        lock.unlock();
        const auto done = bring_up_to_date(work.own, work.copy, bytes);
        lock.lock();
        work.began_ms = std::nullopt;
        // Nobody may be left to hear of it.
        if (work.is_stopping) break;
        if (!done && !work.status.alarm)
            log::error("anchors", "the copy of the anchors is not written: " + done.error().text());
        if (done && work.status.alarm)
            log::info("anchors", "the copy of the anchors is current again");
        work.status.alarm = done ? std::nullopt : std::optional(done.error());
        work.status.is_current = done.has_value() && !work.is_due;
        const auto woken = [&work] { return work.is_stopping || work.is_due; };
        if (done)
            work.changed.wait(lock, woken);
        else
            work.changed.wait_for(lock, anchor_copy_retry_ms, woken);
    }
    work.is_over = true;
    work.changed.notify_all();
}

}  // namespace drover::orchestrator
