/// Stands in for the C library's functions on files: see file_calls.h.
#include "tests/eventlog/file_call.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include <dirent.h>
#include <dlfcn.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace drover::eventlog::testing {
namespace {

/// The C library's function that ours has taken the place of.
template <class Function>
Function* original(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

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
    if (call && call.refused()) return -1;
    const int done = next(fd, mode, at, size);
    if (call && done == 0 && mode == 0)
        call.volume().grow(call.node(), static_cast<std::uint64_t>(at + size));
    return done;
}

int posix_fallocate(int fd, off_t at, off_t size) {
    static auto* const next = original<int(int, off_t, off_t)>("posix_fallocate");
    const Call call(Op::allocate, fd);
    if (call && call.refused()) return errno;
    const int done = next(fd, at, size);
    if (call && done == 0) call.volume().grow(call.node(), static_cast<std::uint64_t>(at + size));
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
