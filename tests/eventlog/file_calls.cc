#include "tests/eventlog/file_calls.h"

#include "base/assert.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <optional>

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace drover::eventlog::testing {
namespace {

std::atomic<FileCalls*> active = nullptr;
/// The thread that writes down what a power failure left: its calls are the C library's, while
/// every other thread waits for the lock until the process ends.
thread_local bool power_is_off = false;

/// The C library's function that ours has taken the place of.
template <class Function>
Function* original(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string file_class(const std::string& path) {
    std::string out;
    for (const char c : path) {
        const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
        if (!digit) out += c;
        if (digit && (out.empty() || out.back() != '#')) out += '#';
    }
    return out.empty() ? "." : out;
}

}  // namespace

std::string to_string(Op op) {
    switch (op) {
        case Op::open:
            return "open";
        case Op::create:
            return "create";
        case Op::close:
            return "close";
        case Op::read:
            return "read";
        case Op::write:
            return "write";
        case Op::sync:
            return "sync";
        case Op::resize:
            return "resize";
        case Op::allocate:
            return "allocate";
        case Op::rename:
            return "rename";
        case Op::remove:
            return "remove";
        case Op::make_directory:
            return "make directory";
        case Op::link:
            return "link";
        case Op::lock:
            return "lock";
        case Op::look:
            return "look";
    }
    return "";
}

std::string to_string(Fault fault) {
    switch (fault) {
        case Fault::none:
            return "nothing";
        case Fault::io_error:
            return "EIO";
        case Fault::no_space:
            return "ENOSPC";
        case Fault::short_write:
            return "short write";
        case Fault::torn_write:
            return "torn write";
        case Fault::failed_sync:
            return "failed sync";
        case Fault::power_loss:
            return "power loss";
    }
    return "";
}

bool changes_files(Op op) {
    switch (op) {
        case Op::create:
        case Op::write:
        case Op::sync:
        case Op::resize:
        case Op::rename:
        case Op::remove:
        case Op::make_directory:
        case Op::link:
            return true;
        case Op::open:
        case Op::close:
        case Op::read:
        case Op::allocate:
        case Op::lock:
        case Op::look:
            return false;
    }
    return false;
}

bool applies(Fault fault, Op op) {
    switch (fault) {
        case Fault::none:
            return false;
        case Fault::io_error:
            return op != Op::sync;
        case Fault::no_space:
            return op == Op::create || op == Op::write || op == Op::allocate || op == Op::rename ||
                   op == Op::make_directory || op == Op::link || op == Op::sync;
        case Fault::short_write:
        case Fault::torn_write:
            return op == Op::write;
        case Fault::failed_sync:
            return op == Op::sync;
        case Fault::power_loss:
            return changes_files(op);
    }
    return false;
}

FileCalls::FileCalls(Options options)
    : options_(std::move(options)),
      volume_(options_.root),
      met_(options_.faults.size()) {}

FileCalls& FileCalls::begin(Options options) {
    DROVER_ASSERT(active == nullptr);
    // Never deleted: RocksDB's threads may still be on their way through it.
    auto* calls = new FileCalls(std::move(options));
    active = calls;
    return *calls;
}

void FileCalls::end() {
    active = nullptr;
}

void FileCalls::lose_power() {
    const std::lock_guard lock(mutex_);
    power_is_off = true;
    options_.on_power_loss(volume_);
}

std::vector<FileCalls::Site> FileCalls::history() {
    const std::lock_guard lock(mutex_);
    return history_;
}

bool FileCalls::lies_about(const std::string& path) const {
    if (options_.lies == Lies::of_everything) return true;
    return options_.lies == Lies::of_the_database && path.find("rocksdb") != std::string::npos;
}

Fault FileCalls::decide(Op op, const std::string& path) {
    const std::string site = to_string(op) + " " + file_class(path);
    history_.push_back({op, site});
    Fault decided = Fault::none;
    for (std::size_t i = 0; i < options_.faults.size(); ++i) {
        const PlannedFault& planned = options_.faults[i];
        if (!applies(planned.fault, op)) continue;
        const std::uint64_t number = ++met_[i];
        if (number == planned.at || (planned.lasting && number > planned.at))
            decided = planned.fault;
    }
    if (decided == Fault::none) return decided;
    if (options_.on_fault) options_.on_fault(site);
    if (decided == Fault::power_loss) {
        power_is_off = true;
        options_.on_power_loss(volume_);
    }
    return decided;
}

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

namespace {

using Call = FileCalls::Call;

int open_at(int directory, const char* path, int flags, mode_t mode) {
    static auto* const next = original<int(int, const char*, int, ...)>("openat");
    const Call call(Op::open, directory, path, (flags & O_CREAT) != 0);
    if (call && call.refused()) return -1;
    const int fd = next(directory, path, flags, mode);
    if (fd < 0) return fd;
    if (call)
        call.opened(fd, flags);
    else
        Call::opened_elsewhere(fd);
    return fd;
}

mode_t mode_of(int flags, va_list arguments) {
    return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(arguments, int)) : 0;
}

/// Half of `size` when the call is to be cut short.
std::size_t allowed(const Call& call, std::size_t size) {
    if (!call) return size;
    const bool cut = call.fault() == Fault::short_write || call.fault() == Fault::torn_write;
    return cut ? size / 2 : size;
}

ssize_t written(const Call& call, const void* data, ssize_t put, std::uint64_t at) {
    if (!call || put < 0) return put;
    call.volume().write(call.node(), at,
                        {static_cast<const std::uint8_t*>(data), static_cast<std::size_t>(put)});
    if (call.fault() != Fault::torn_write) return put;
    errno = EIO;
    return -1;
}

int sync_file(int fd, const char* name) {
    const Call call(Op::sync, fd);
    if (!call) return original<int(int)>(name)(fd);
    if (call.refused()) return -1;
    if (!call.lies()) call.volume().sync(call.node());
    return 0;  // The volume in the model is the device.
}

int remove_at(int directory, const char* path, int flags) {
    static auto* const next = original<int(int, const char*, int)>("unlinkat");
    const Call call(Op::remove, directory, path);
    if (call && call.refused()) return -1;
    const int done = next(directory, path, flags);
    if (call && done == 0) call.volume().remove(call.path());
    return done;
}

}  // namespace
}  // namespace drover::eventlog::testing

// NOLINTBEGIN: names and signatures are the C library's.
using namespace drover::eventlog::testing;

extern "C" {

int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(directory, path, flags, mode);
}

int close(int fd) {
    static auto* const next = original<int(int)>("close");
    const Call call(Op::close, fd);
    const int done = next(fd);
    if (!call) return done;
    call.closed(fd);  // also when it reports an error
    return call.refused() ? -1 : done;
}

ssize_t read(int fd, void* data, size_t size) {
    static auto* const next = original<ssize_t(int, void*, size_t)>("read");
    const Call call(Op::read, fd);
    return call && call.refused() ? -1 : next(fd, data, size);
}

ssize_t pread(int fd, void* data, size_t size, off_t at) {
    static auto* const next = original<ssize_t(int, void*, size_t, off_t)>("pread");
    const Call call(Op::read, fd);
    return call && call.refused() ? -1 : next(fd, data, size, at);
}

size_t fread_unlocked(void* data, size_t size, size_t count, FILE* file) {
    static auto* const next = original<size_t(void*, size_t, size_t, FILE*)>("fread_unlocked");
    {
        const Call call(Op::read, ::fileno(file));
        if (call && call.refused()) {
            errno = EIO;
            return 0;  // and the stream is not at its end: that is how RocksDB sees an error
        }
    }
    return next(data, size, count, file);  // reads with calls that are not seen here
}

ssize_t write(int fd, const void* data, size_t size) {
    static auto* const next = original<ssize_t(int, const void*, size_t)>("write");
    const Call call(Op::write, fd);
    if (call && call.refused()) return -1;
    const ssize_t put = next(fd, data, allowed(call, size));
    const auto end = call ? static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR)) : 0;
    return written(call, data, put, end - static_cast<std::uint64_t>(std::max<ssize_t>(put, 0)));
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
    static auto* const next = original<ssize_t(int, const void*, size_t, off_t)>("pwrite");
    const Call call(Op::write, fd);
    if (call && call.refused()) return -1;
    return written(call, data, next(fd, data, allowed(call, size), at),
                   static_cast<std::uint64_t>(at));
}

int fsync(int fd) {
    return sync_file(fd, "fsync");
}

int fdatasync(int fd) {
    return sync_file(fd, "fdatasync");
}

int sync_file_range(int fd, off_t at, off_t size, unsigned flags) {
    static auto* const next = original<int(int, off_t, off_t, unsigned)>("sync_file_range");
    if (flags == 0) return next(fd, at, size, flags);  // RocksDB asks whether the call exists
    const Call call(Op::look, fd);
    return call && call.refused() ? -1 : next(fd, at, size, flags);
}

int ftruncate(int fd, off_t size) noexcept {
    static auto* const next = original<int(int, off_t)>("ftruncate");
    const Call call(Op::resize, fd);
    if (call && call.refused()) return -1;
    const int done = next(fd, size);
    if (call && done == 0) call.volume().resize(call.node(), static_cast<std::uint64_t>(size));
    return done;
}

int fallocate(int fd, int mode, off_t at, off_t size) {
    static auto* const next = original<int(int, int, off_t, off_t)>("fallocate");
    const Call call(Op::allocate, fd);
    return call && call.refused() ? -1 : next(fd, mode, at, size);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static auto* const next = original<int(int, off_t, off_t)>("posix_fallocate");
    const Call call(Op::allocate, fd);
    if (call && call.refused()) return errno;
    const int done = next(fd, at, size);
    if (call && done == 0) call.volume().resize(call.node(), static_cast<std::uint64_t>(at + size));
    return done;
}

int rename(const char* from, const char* to) noexcept {
    static auto* const next = original<int(const char*, const char*)>("rename");
    const Call call(Op::rename, from);
    if (call && call.refused()) return -1;
    const int done = next(from, to);
    if (call && done == 0) call.volume().rename(call.path(), call.relative(to).value());
    return done;
}

int link(const char* from, const char* to) noexcept {
    static auto* const next = original<int(const char*, const char*)>("link");
    const Call call(Op::link, from);
    if (call && call.refused()) return -1;
    const int done = next(from, to);
    if (call && done == 0) call.volume().link(call.path(), call.relative(to).value());
    return done;
}

int unlink(const char* path) noexcept {
    return remove_at(AT_FDCWD, path, 0);
}

int rmdir(const char* path) noexcept {
    return remove_at(AT_FDCWD, path, AT_REMOVEDIR);
}

int unlinkat(int directory, const char* path, int flags) noexcept {
    return remove_at(directory, path, flags);
}

int mkdir(const char* path, mode_t mode) noexcept {
    static auto* const next = original<int(const char*, mode_t)>("mkdir");
    const Call call(Op::make_directory, path);
    if (call && call.refused()) return -1;
    const int done = next(path, mode);
    if (call && done == 0) call.volume().make_directory(call.path());
    return done;
}

int flock(int fd, int how) noexcept {
    static auto* const next = original<int(int, int)>("flock");
    const Call call(Op::lock, fd);
    return call && call.refused() ? -1 : next(fd, how);
}

int fcntl(int fd, int command, ...) {
    static auto* const next = original<int(int, int, ...)>("fcntl");
    va_list arguments;
    va_start(arguments, command);
    void* const argument = va_arg(arguments, void*);
    va_end(arguments);
    if (command == F_SETLK) {
        const Call call(Op::lock, fd);
        if (call && call.refused()) return -1;
    }
    return next(fd, command, argument);
}

int stat(const char* path, struct stat* found) noexcept {
    static auto* const next = original<int(const char*, struct stat*)>("stat");
    const Call call(Op::look, path);
    return call && call.refused() ? -1 : next(path, found);
}

int access(const char* path, int how) noexcept {
    static auto* const next = original<int(const char*, int)>("access");
    const Call call(Op::look, path);
    return call && call.refused() ? -1 : next(path, how);
}

int statvfs(const char* path, struct statvfs* found) noexcept {
    static auto* const next = original<int(const char*, struct statvfs*)>("statvfs");
    const Call call(Op::look, path);
    return call && call.refused() ? -1 : next(path, found);
}

DIR* opendir(const char* path) {
    static auto* const next = original<DIR*(const char*)>("opendir");
    const Call call(Op::look, path);
    return call && call.refused() ? nullptr : next(path);
}

}  // extern "C"
// NOLINTEND
