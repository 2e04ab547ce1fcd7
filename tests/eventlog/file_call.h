/// One call to a file, between the C library's functions (c_library.cc) and FileCalls.
#pragma once

#include "tests/eventlog/file_calls.h"

#include <atomic>
#include <cerrno>
#include <optional>

#include <fcntl.h>

namespace drover::eventlog::testing {

inline std::atomic<FileCalls*> active = nullptr;
/// The thread that writes down what a power failure left: its calls are the C library's, while
/// every other thread waits for the lock until the process ends.
inline thread_local bool power_is_off = false;

/// Holds the lock for the time of the call, so that the model and the files never differ.
class FileCalls::Call {
  public:
    Call(Op op, int directory, const char* name, bool creating = false) {
        if (!take()) return;
        std::string path = name;
        if (!path.starts_with('/') && directory != AT_FDCWD) {
            const auto parent = calls_->open_files_.find(directory);
            if (parent == calls_->open_files_.end()) {
                leave();
                return;
            }
            const std::string& above = parent->second.path;
            path_ = above.empty() ? path : above + "/" + path;
        } else if (!inside(path)) {
            leave();
            return;
        }
        node_ = volume().find(path_);
        begin(creating && node_ == Volume::none ? Op::create : op);
    }

    Call(Op op, const char* path)
        : Call(op, AT_FDCWD, path) {}

    Call(Op op, int fd) {
        if (!take()) return;
        const auto found = calls_->open_files_.find(fd);
        if (found == calls_->open_files_.end()) {
            leave();
            return;
        }
        path_ = found->second.path;
        node_ = found->second.node;
        begin(op);
    }

    explicit operator bool() const { return calls_ != nullptr; }

    /// The call is to return -1 (errno is set) without being made.
    [[nodiscard]] bool refused() const {
        if (fault_ == Fault::none || fault_ == Fault::short_write || fault_ == Fault::torn_write)
            return false;
        errno = fault_ == Fault::no_space ? ENOSPC : EIO;
        if (op_ == Op::sync) volume().forget_pending(node());
        return true;
    }

    [[nodiscard]] Fault fault() const { return fault_; }

    [[nodiscard]] bool lies() const { return calls_->lies_about(path_); }

    [[nodiscard]] Volume& volume() const { return calls_->volume_; }

    [[nodiscard]] const std::string& path() const { return path_; }

    [[nodiscard]] Volume::Inode node() const { return node_; }

    /// A path below the root, made relative to it.
    [[nodiscard]] std::optional<std::string> relative(const std::string& path) const {
        const std::string& root = calls_->options_.root.native();
        if (path == root) return "";
        if (!path.starts_with(root + "/")) return std::nullopt;
        return path.substr(root.size() + 1);
    }

    void opened(int fd, int flags) const {
        if (node_ != Volume::none && (flags & O_TRUNC) != 0) volume().resize(node_, 0);
        const auto node = node_ == Volume::none ? volume().create(path_) : node_;
        calls_->open_files_[fd] = {path_, node};
    }

    void closed(int fd) const { calls_->open_files_.erase(fd); }

    /// An open outside the root: the number may have been ours before.
    static void opened_elsewhere(int fd) {
        FileCalls* calls = active;
        if (calls == nullptr || power_is_off) return;
        const std::lock_guard lock(calls->mutex_);
        calls->open_files_.erase(fd);
    }

  private:
    bool take() {
        calls_ = power_is_off ? nullptr : active.load();
        if (calls_ == nullptr) return false;
        lock_ = std::unique_lock(calls_->mutex_);
        return true;
    }

    void leave() {
        lock_.unlock();
        calls_ = nullptr;
    }

    bool inside(const std::string& path) {
        const auto found = relative(path);
        if (found) path_ = *found;
        return found.has_value();
    }

    void begin(Op op) {
        op_ = op;
        fault_ = calls_->decide(op, path_);
    }

    FileCalls* calls_ = nullptr;
    std::unique_lock<std::mutex> lock_;
    std::string path_;
    Volume::Inode node_ = Volume::none;
    Op op_ = Op::look;
    Fault fault_ = Fault::none;
};

}  // namespace drover::eventlog::testing
