/// Small files that must survive a crash: keys, markers, checkpoints, settings. Blocking.
#pragma once

#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace drover {

/// A file descriptor with one owner. Closes on destruction; a failed close is not reported, so
/// whoever needs durability syncs first.
class Fd {
  public:
    Fd() = default;

    explicit Fd(int fd) : fd_(fd) {}

    Fd(Fd&& other) noexcept : fd_(other.release()) {}

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

/// Whole contents. Errors: not_found; invalid when larger than `size_max`; io.
[[nodiscard]] Result<Bytes> read_file(const std::filesystem::path& path,
                                      std::size_t size_max = 64U << 20);
[[nodiscard]] Result<std::string> read_text(const std::filesystem::path& path,
                                            std::size_t size_max = 64U << 20);

/// Replaces `path` so that after a crash it holds the old or the new contents, never a mixture:
/// temporary file, fsync, rename, fsync of the directory. `mode` as in chmod(2).
[[nodiscard]] Result<> write_file_durably(const std::filesystem::path& path, ByteView contents,
                                          unsigned mode = 0600);

/// Removes `path` and syncs its directory. A missing file is a success.
[[nodiscard]] Result<> remove_file_durably(const std::filesystem::path& path);

/// Creates the directory and its parents (mode 0700 for the last) and syncs the parent.
[[nodiscard]] Result<> make_directory_durably(const std::filesystem::path& path);

/// fsync of a directory, so that a created, renamed or removed entry survives.
[[nodiscard]] Result<> sync_directory(const std::filesystem::path& path);

/// Writes everything or fails; retries short writes and EINTR.
[[nodiscard]] Result<> write_all(int fd, ByteView contents, std::string_view path);

}  // namespace drover
