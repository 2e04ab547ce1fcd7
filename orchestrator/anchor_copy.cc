#include "orchestrator/anchor_copy.h"

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace drover::orchestrator {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t piece_bytes = 64U << 10;
using Piece = std::array<std::uint8_t, piece_bytes>;

/// Up to a whole piece; shorter only at the end of the file.
Result<ByteView> read_piece(const Fd& fd, Piece& piece, const fs::path& path) {
    std::size_t filled = 0;
    while (filled < piece.size()) {
        const ssize_t got = ::read(fd.get(), piece.data() + filled, piece.size() - filled);
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

Result<> bring_up_to_date(const fs::path& own, const fs::path& copy) {
    const Fd from(::open(own.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from.valid()) return errno_error(errno, "open", own.native());
    const bool is_new = ::access(copy.c_str(), F_OK) != 0;
    const Fd to(::open(copy.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!to.valid()) return errno_error(errno, "open", copy.native());
    Piece ours{};
    Piece theirs{};
    bool is_changed = is_new;
    // Reading moves both along, so that a write lands behind what is there already.
    while (true) {
        TRY(const ByteView wanted, read_piece(from, ours, own));
        TRY(const ByteView there, read_piece(to, theirs, copy));
        const bool is_beginning =
            there.size() <= wanted.size() && std::equal(there.begin(), there.end(), wanted.begin());
        if (!is_beginning) return differs(own, copy);
        if (there.size() < wanted.size()) {
            TRY_VOID(write_all(to.get(), wanted.subspan(there.size()), copy.native()));
            is_changed = true;
        }
        if (wanted.size() < piece_bytes) break;
    }
    if (is_changed && ::fsync(to.get()) != 0) return errno_error(errno, "fsync", copy.native());
    if (is_new) return sync_directory(fs::absolute(copy).parent_path());
    return {};
}

AnchorCopy::AnchorCopy(fs::path own, fs::path copy)
    : own_(std::move(own)),
      copy_(std::move(copy)),
      thread_([this] { run(); }) {}

AnchorCopy::~AnchorCopy() {
    {
        const std::lock_guard lock(mutex_);
        is_stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void AnchorCopy::wake() {
    {
        const std::lock_guard lock(mutex_);
        is_due_ = true;
        status_.is_current = false;
    }
    changed_.notify_all();
}

AnchorCopy::Status AnchorCopy::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

void AnchorCopy::run() {
    std::unique_lock lock(mutex_);
    while (!is_stopping_) {
        is_due_ = false;
        lock.unlock();
        const auto done = bring_up_to_date(own_, copy_);
        lock.lock();
        if (!done && !status_.alarm)
            log::error("anchors", "the copy of the anchors is not written: " + done.error().text());
        if (done && status_.alarm) log::info("anchors", "the copy of the anchors is current again");
        status_.alarm = done ? std::nullopt : std::optional(done.error());
        status_.is_current = done.has_value() && !is_due_;
        const auto woken = [this] { return is_stopping_ || is_due_; };
        if (done)
            changed_.wait(lock, woken);
        else
            changed_.wait_for(lock, anchor_copy_retry_ms, woken);
    }
}

}  // namespace drover::orchestrator
