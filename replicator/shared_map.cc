#include "replicator/shared_map.h"

#include "base/file.h"
#include "base/sha256.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

constexpr std::string_view magic = "DRVMAP01";
constexpr std::size_t header_bytes = 4096;  // one page, so that the payload starts on one
constexpr std::size_t crc_at = 64;

std::uint64_t file_bytes(std::uint64_t words) {
    return header_bytes + words * sizeof(words);
}

Hash key_digest(const MapKey& key) {
    Bytes text;
    for (const std::string& part : {key.kind, key.identity, key.boot_id}) {
        put_u32(text, static_cast<std::uint32_t>(part.size()));
        put_bytes(text, as_bytes(part));
    }
    put_bytes(text, key.job.view());
    put_u32(text, key.disk);
    put_u64(text, key.size_bytes);
    return sha256(text);
}

Bytes header(const MapKey& key, const Generation& generation, std::uint64_t words) {
    Bytes out;
    put_bytes(out, as_bytes(magic));
    put_bytes(out, key_digest(key).view());
    put_bytes(out, generation.view());
    put_u64(out, words);
    put_u32(out, crc32c(out));
    return out;
}

/// The generation named by a header that belongs to this key and length.
std::optional<Generation> generation_in(ByteView found, const MapKey& key, std::uint64_t words) {
    const auto generation = Generation::from(found.subspan(40, 16));
    const Bytes expected = header(key, *generation, words);
    const ByteView start = found.first(expected.size());
    if (!std::equal(expected.begin(), expected.end(), start.begin())) return std::nullopt;
    return generation;
}

Result<void*> map(const Fd& fd, std::uint64_t bytes, const std::filesystem::path& path) {
    void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) return errno_error(errno, "map", path.native());
    return base;
}

}  // namespace

SharedMap::SharedMap(SharedMap&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      words_(other.words_),
      generation_(other.generation_) {}

SharedMap& SharedMap::operator=(SharedMap&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(words_, other.words_);
    std::swap(generation_, other.generation_);
    return *this;
}

SharedMap::~SharedMap() {
    if (base_ != nullptr) ::munmap(base_, file_bytes(words_));
}

bool SharedMap::exists(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

void SharedMap::remove(const std::filesystem::path& path) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
}

std::span<std::uint64_t> SharedMap::words() const {
    auto* payload = static_cast<std::uint8_t*>(base_) + header_bytes;
    return {reinterpret_cast<std::uint64_t*>(payload), static_cast<std::size_t>(words_)};
}

void SharedMap::release(std::size_t first_word, std::size_t count) const {
    // Neighbours on the same page lose nothing either. A refusal only keeps the memory.
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t begin = (header_bytes + first_word * sizeof(std::uint64_t)) / page * page;
    const std::size_t end = header_bytes + (first_word + count) * sizeof(std::uint64_t);
    (void)::madvise(static_cast<std::uint8_t*>(base_) + begin, end - begin, MADV_DONTNEED);
}

Result<std::optional<SharedMap>> SharedMap::adopt(const std::filesystem::path& path,
                                                  const MapKey& key, std::uint64_t words) {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() && errno == ENOENT) return std::optional<SharedMap>();
    if (!fd.valid()) return errno_error(errno, "open", path.native());

    struct stat status {};

    if (::fstat(fd.get(), &status) != 0) return errno_error(errno, "size of", path.native());
    if (static_cast<std::uint64_t>(status.st_size) != file_bytes(words))
        return std::optional<SharedMap>();
    TRY(void* base, map(fd, file_bytes(words), path));
    SharedMap found(base, words, Generation());
    const auto generation =
        generation_in({static_cast<const std::uint8_t*>(base), crc_at + 4}, key, words);
    if (!generation) return std::optional<SharedMap>();
    found.generation_ = *generation;
    return std::optional<SharedMap>(std::move(found));
}

Result<SharedMap> SharedMap::create(const std::filesystem::path& path, const MapKey& key,
                                    const Generation& generation, std::uint64_t words) {
    const std::string temporary = path.native() + ".new";
    const Fd fd(
        ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return errno_error(errno, "create", temporary);
    TRY_VOID(write_all(fd.get(), header(key, generation, words), temporary));
    // Reserved now: a full file system must fail here and not as a bus error later.
    const int refused = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(file_bytes(words)));
    if (refused != 0) return errno_error(refused, "reserve", temporary);
    TRY(void* base, map(fd, file_bytes(words), path));
    SharedMap created(base, words, generation);
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return errno_error(errno, "rename", temporary);
    return created;
}

}  // namespace drover::replicator
