/// What is left of system calls when their results are errors and owners.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <filesystem>
#include <string_view>

namespace drover {

/// A file descriptor with one owner. Closes on destruction; a failed close is not reported, so
/// whoever needs durability syncs first.
class Fd {
  public:
    Fd() = default;

    explicit Fd(int fd)
        : fd_(fd) {}

    Fd(Fd&& other) noexcept
        : fd_(other.release()) {}

    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }

    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;

    ~Fd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }

    [[nodiscard]] bool valid() const { return fd_ >= 0; }

    [[nodiscard]] int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }

    void reset(int fd = -1);

  private:
    int fd_ = -1;
};

/// An Error for errno `number` of `action` on `path`: not_found for ENOENT, denied for EACCES and
/// EPERM, unavailable for ENOSPC, EBUSY and EDQUOT, io otherwise. id is "file_error".
[[nodiscard]] Error errno_error(int number, std::string_view action, std::string_view path);

/// Writes everything or fails; retries short writes and EINTR.
[[nodiscard]] Result<> write_all(int fd, ByteView contents, std::string_view path);

}  // namespace drover
