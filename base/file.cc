#include "base/file.h"

#include "base/crash_point.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace drover {

Result<Bytes> read_file(const std::filesystem::path& path, std::size_t size_max) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    Bytes contents;
    std::array<std::uint8_t, 65536> chunk{};
    for (;;) {
        const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path.native());
        if (got == 0) return contents;
        put_bytes(contents, ByteView(chunk).first(static_cast<std::size_t>(got)));
        if (contents.size() > size_max)
            return Error(Errc::invalid, "file_too_large",
                         path.native() + " is larger than " + std::to_string(size_max) + " bytes");
    }
}

Result<std::string> read_text(const std::filesystem::path& path, std::size_t size_max) {
    TRY(const Bytes contents, read_file(path, size_max));
    return std::string(as_text(contents));
}

Result<> sync_directory(const std::filesystem::path& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync", path.native());
    return {};
}

Result<> write_file_durably(const std::filesystem::path& path, ByteView contents, unsigned mode) {
    const std::string temporary = path.native() + ".new";
    DROVER_CRASH_POINT("file.before_write");
    {
        Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
        if (!fd.valid()) return errno_error(errno, "create", temporary);
        if (::fchmod(fd.get(), mode) != 0) return errno_error(errno, "chmod", temporary);
        TRY_VOID(write_all(fd.get(), contents, temporary));
        if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync", temporary);
    }
    DROVER_CRASH_POINT("file.written");
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return errno_error(errno, "rename", temporary);
    DROVER_CRASH_POINT("file.renamed");
    TRY_VOID(sync_directory(path.has_parent_path() ? path.parent_path() : "."));
    DROVER_CRASH_POINT("file.rename_synced");
    return {};
}

Result<> remove_file_durably(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0) {
        if (errno == ENOENT) return {};
        return errno_error(errno, "remove", path.native());
    }
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<> make_directory_durably(const std::filesystem::path& path) {
    std::error_code failure;
    std::filesystem::create_directories(path, failure);
    if (failure) return errno_error(failure.value(), "create directory", path.native());
    if (::chmod(path.c_str(), 0700) != 0) return errno_error(errno, "chmod", path.native());
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<std::vector<std::filesystem::path>> list_files(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> out;
    std::error_code failed;
    std::filesystem::directory_iterator files(directory, failed);
    if (failed == std::errc::no_such_file_or_directory) return out;
    for (; !failed && files != std::filesystem::directory_iterator(); files.increment(failed))
        if (files->path().extension() != ".new") out.push_back(files->path());
    if (failed) return errno_error(failed.value(), "list", directory.native());
    std::sort(out.begin(), out.end());
    return out;
}

Result<> remove_directory_durably(const std::filesystem::path& path) {
    std::error_code failed;
    std::filesystem::remove_all(path, failed);
    if (failed) return errno_error(failed.value(), "remove", path.native());
    return sync_directory(path.parent_path());
}

Result<AppendFile> AppendFile::open(const std::filesystem::path& path) {
    Fd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    return AppendFile(std::move(fd), path);
}

Result<> AppendFile::append(ByteView contents) {
    TRY_VOID(write_all(fd_.get(), contents, path_.native()));
    if (::fdatasync(fd_.get()) != 0) return errno_error(errno, "sync", path_.native());
    return {};
}

}  // namespace drover
