#include "bench/target_questions.h"

#include "bench/measure.h"

#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include <unistd.h>

namespace drover::bench {
namespace {

/// Looks often enough that no point comes and goes unseen: several are kept.
constexpr std::chrono::milliseconds look_every(20);

std::vector<Point> offered_by(replicator::TargetReplica& target) {
    std::vector<Point> points;
    for (const replicator::BatchMark& mark : target.progress().points)
        points.push_back({mark.batch, mark.taken_micros});
    return points;
}

/// Every point that the target ever offers. Its thread ends with the process.
class Watcher {
  public:
    explicit Watcher(replicator::TargetReplica& target)
        : target_(target) {
        std::thread([this] {
            for (;; std::this_thread::sleep_for(look_every)) look();
        }).detach();
    }

    [[nodiscard]] std::vector<Point> seen() {
        const std::lock_guard lock(mutex_);
        return seen_;
    }

  private:
    void look() {
        const std::vector<Point> offered = offered_by(target_);
        const std::lock_guard lock(mutex_);
        for (const Point& point : offered)
            if (seen_.empty() || point.batch > seen_.back().batch) seen_.push_back(point);
    }

    replicator::TargetReplica& target_;
    std::mutex mutex_;
    std::vector<Point> seen_;
};

void send_points(const Fd& to, const std::vector<Point>& points) {
    send(to, std::uint64_t{points.size()});
    for (const Point& point : points) send(to, point);
}

}  // namespace

void send_bytes(const Fd& to, const void* data, std::size_t bytes) {
    const auto* next = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t sent = ::write(to.get(), next, bytes);
        if (sent <= 0) fail("the other process is gone");
        next += sent;
        bytes -= static_cast<std::size_t>(sent);
    }
}

void receive_bytes(const Fd& from, void* data, std::size_t bytes) {
    auto* next = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t got = ::read(from.get(), next, bytes);
        if (got <= 0) fail("the other process is gone");
        next += got;
        bytes -= static_cast<std::size_t>(got);
    }
}

void ask_to_watch(const Fd& target) {
    send(target, Question::watch_points);
}

std::vector<Point> ask_points(const Fd& target, Question which) {
    send(target, which);
    std::uint64_t count = 0;
    receive(target, count);
    std::vector<Point> points(count);
    for (Point& point : points) receive(target, point);
    return points;
}

void ask_restore(const Fd& target, std::uint64_t batch) {
    send(target, Question::restore);
    send(target, batch);
    bool is_done = false;
    receive(target, is_done);
    if (!is_done) fail("the target does not go back to batch " + std::to_string(batch));
}

void answer_questions(const Fd& parent, replicator::TargetReplica& target) {
    std::optional<Watcher> watcher;
    for (;;) {
        Question question{};
        if (::read(parent.get(), &question, sizeof question) != sizeof question) ::_exit(0);
        if (question == Question::watch_points) {
            watcher.emplace(target);
        } else if (question == Question::points_seen) {
            send_points(parent, watcher ? watcher->seen() : std::vector<Point>());
        } else if (question == Question::points_kept) {
            send_points(parent, offered_by(target));
        } else {
            std::uint64_t batch = 0;
            receive(parent, batch);
            const auto restored = target.restore_point(batch);
            if (!restored) std::fprintf(stderr, "bench: %s\n", restored.error().text().c_str());
            send(parent, restored.has_value());
        }
    }
}

}  // namespace drover::bench
