#include "wire/memory_link.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

namespace drover::wire {
namespace {

using std::chrono::steady_clock;

/// One direction: a bounded queue of frames.
class Pipe {
  public:
    Pipe(std::size_t queued_bytes_max, std::uint64_t frames_max)
        : queued_bytes_max_(queued_bytes_max),
          frames_max_(frames_max) {}

    Result<> send(ByteView head, ByteView body) {
        std::unique_lock lock(mutex_);
        // An empty queue takes a frame of any size, so that a large one cannot wait for ever.
        changed_.wait(lock, [&] {
            return end_ || queue_.empty() ||
                   queued_bytes_ + head.size() + body.size() <= queued_bytes_max_;
        });
        if (end_) return *end_;
        Bytes frame(head.begin(), head.end());
        frame.insert(frame.end(), body.begin(), body.end());
        queued_bytes_ += frame.size();
        queue_.push_back(std::move(frame));
        ++frames_;
        changed_.notify_all();
        return {};
    }

    /// True once the frames that may pass have passed.
    [[nodiscard]] bool is_spent() const {
        const std::lock_guard lock(mutex_);
        return frames_max_ != 0 && frames_ >= frames_max_;
    }

    Result<Bytes> receive(std::int64_t timeout_ms) {
        const auto deadline = steady_clock::now() + std::chrono::milliseconds(timeout_ms);
        std::unique_lock lock(mutex_);
        const bool ready =
            changed_.wait_until(lock, deadline, [&] { return end_ || !queue_.empty(); });
        if (end_ && (queue_.empty() || end_->code() == Errc::cancelled)) return *end_;
        if (!ready) return Error(Errc::timed_out, "link_timed_out", "no frame arrived in time");
        Bytes frame = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= frame.size();
        changed_.notify_all();
        return frame;
    }

    /// Frames that were sent before stay readable unless the end is an abort of this reader's own
    /// side.
    void end(const Error& why) {
        const std::lock_guard lock(mutex_);
        if (!end_ || why.code() == Errc::cancelled) end_ = why;
        changed_.notify_all();
    }

  private:
    const std::size_t queued_bytes_max_;
    const std::uint64_t frames_max_;  ///< 0: no limit
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Bytes> queue_;
    std::size_t queued_bytes_ = 0;
    std::uint64_t frames_ = 0;
    std::optional<Error> end_;
};

Error gone() {
    return Error(Errc::unavailable, "link_closed", "the connection is closed");
}

Error aborted() {
    return Error(Errc::cancelled, "link_aborted", "the link was aborted");
}

class MemoryLink final : public Link {
  public:
    /// The pipes are shared by both ends and die with the later one.
    MemoryLink(std::shared_ptr<Pipe> out, std::shared_ptr<Pipe> in, std::string peer)
        : out_(std::move(out)),
          in_(std::move(in)),
          peer_(std::move(peer)) {}

    ~MemoryLink() override { close(gone()); }

    Result<> send(ByteView head, ByteView body) override {
        {
            const std::lock_guard lock(mutex_);
            if (aborted_) return aborted();
        }
        TRY_VOID(out_->send(head, body));
        if (out_->is_spent()) close(gone());
        return {};
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override { return in_->receive(timeout_ms); }

    void abort() override {
        {
            const std::lock_guard lock(mutex_);
            aborted_ = true;
        }
        in_->end(aborted());
        out_->end(gone());
    }

    [[nodiscard]] const std::string& peer() const override { return peer_; }

  private:
    void close(const Error& why) {
        out_->end(why);
        in_->end(why);
    }

    const std::shared_ptr<Pipe> out_;
    const std::shared_ptr<Pipe> in_;
    const std::string peer_;
    std::mutex mutex_;
    bool aborted_ = false;
};

}  // namespace

std::pair<std::unique_ptr<Link>, std::unique_ptr<Link>> make_memory_links(
    const MemoryLinkOptions& options) {
    auto there = std::make_shared<Pipe>(options.queued_bytes_max, options.cut_after_frames);
    auto back = std::make_shared<Pipe>(options.queued_bytes_max, 0);
    return {std::make_unique<MemoryLink>(there, back, options.second_identity),
            std::make_unique<MemoryLink>(back, there, options.first_identity)};
}

}  // namespace drover::wire
