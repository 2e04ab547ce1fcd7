#include "wire/memory_link.h"

#include "base/threads.h"

#include <atomic>
#include <deque>

namespace drover::wire {
namespace {

/// One direction: a bounded queue of frames.
class Pipe {
  public:
    Pipe(std::size_t queued_bytes_max, std::uint64_t frames_max)
        : queued_bytes_max_(queued_bytes_max),
          frames_max_(frames_max) {}

    /// False once the pipe has ended.
    [[nodiscard]] bool push(Bytes frame) {
        std::unique_lock lock(mutex_);
        // An empty queue takes a frame of any size, so that a large one cannot wait for ever.
        changed_.wait(lock, [&] {
            return ended_ || queue_.empty() || queued_bytes_ + frame.size() <= queued_bytes_max_;
        });
        if (ended_) return false;
        queued_bytes_ += frame.size();
        queue_.push_back(std::move(frame));
        ++frames_;
        changed_.notify_all();
        return true;
    }

    Result<Bytes> pop(std::int64_t timeout_ms) {
        std::unique_lock lock(mutex_);
        const bool ready =
            changed_.wait_for(lock, timeout_ms, [&] { return ended_ || !queue_.empty(); });
        if (!ready) return Error(Errc::timed_out, "link_timed_out", "no frame arrived in time");
        if (queue_.empty()) return Error(Errc::unavailable, "link_closed", "the peer is gone");
        Bytes frame = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= frame.size();
        changed_.notify_all();
        return frame;
    }

    /// Frames that were pushed before stay readable.
    void end() {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }

    /// True once the frames that may pass have passed.
    [[nodiscard]] bool is_spent() const {
        const std::lock_guard lock(mutex_);
        return frames_max_ != 0 && frames_ >= frames_max_;
    }

  private:
    const std::size_t queued_bytes_max_;
    const std::uint64_t frames_max_;  ///< 0: no limit
    mutable Mutex mutex_;
    Condition changed_;
    std::deque<Bytes> queue_;
    std::size_t queued_bytes_ = 0;
    std::uint64_t frames_ = 0;
    bool ended_ = false;
};

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

    ~MemoryLink() override { cut(); }

    Result<> send(ByteView head, ByteView body) override {
        Bytes frame(head.begin(), head.end());
        frame.insert(frame.end(), body.begin(), body.end());
        const bool taken = !aborted_ && out_->push(std::move(frame));
        if (aborted_) return aborted();
        if (!taken) return Error(Errc::unavailable, "link_closed", "the peer is gone");
        if (out_->is_spent()) cut();
        return {};
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override {
        if (aborted_) return aborted();
        auto frame = in_->pop(timeout_ms);
        if (aborted_) return aborted();
        return frame;
    }

    void abort() override {
        aborted_ = true;
        cut();
    }

    [[nodiscard]] const std::string& peer() const override { return peer_; }

  private:
    void cut() {
        out_->end();
        in_->end();
    }

    const std::shared_ptr<Pipe> out_;
    const std::shared_ptr<Pipe> in_;
    const std::string peer_;
    std::atomic<bool> aborted_ = false;
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
