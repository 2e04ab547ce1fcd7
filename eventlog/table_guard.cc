#include "eventlog/table_guard.h"

#include "base/file.h"

#include <algorithm>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace drover::eventlog {
namespace {

constexpr std::size_t footer_bytes = 53;
constexpr std::size_t version_at = 41;
constexpr std::size_t magic_at = 45;
constexpr std::uint64_t table_magic = 0x88e241b785f4cff7;
constexpr std::uint32_t version_max = 5;
constexpr std::uint64_t meta_index_bytes_max = std::uint64_t{1} << 20;
constexpr std::string_view properties_name = "rocksdb.properties";
constexpr std::uint8_t hash_index_bit = 0x80;

/// Seven bits a byte, the low ones first; the top bit says that more follow.
std::optional<std::uint64_t> take_varint(ByteView& bytes) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
        const std::uint8_t byte = bytes.front();
        bytes = bytes.subspan(1);
        value |= std::uint64_t{byte & 0x7fU} << shift;
        if ((byte & 0x80U) == 0) return value;
    }
    return std::nullopt;
}

std::optional<Extent> take_extent(ByteView bytes) {
    const auto at = take_varint(bytes);
    const auto size = take_varint(bytes);
    if (!at || !size) return std::nullopt;
    return Extent{*at, *size};
}

/// nullopt when the file does not have all of it.
std::optional<Bytes> read_extent(int fd, const Extent& extent) {
    Bytes bytes(extent.size);
    const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(extent.at));
    if (got < 0 || static_cast<std::size_t>(got) != bytes.size()) return std::nullopt;
    return bytes;
}

/// Whether the table shows the damage; what cannot be read or understood is RocksDB's to refuse.
bool aborts_rocksdb(const std::filesystem::path& table) {
    const Fd fd(::open(table.c_str(), O_RDONLY | O_CLOEXEC));

    struct stat found {};

    if (!fd.valid() || ::fstat(fd.get(), &found) != 0) return false;
    const auto size = static_cast<std::uint64_t>(found.st_size);
    if (size < footer_bytes) return false;
    const auto footer = read_extent(fd.get(), {size - footer_bytes, footer_bytes});
    if (!footer) return false;
    const auto index_at = meta_index_extent(*footer);
    if (!index_at || index_at->size > meta_index_bytes_max || index_at->at > size) return false;
    const auto meta_index = read_extent(fd.get(), *index_at);
    if (!meta_index) return false;
    const auto properties = properties_extent(*meta_index);
    if (!properties || properties->size == 0 || properties->at > size ||
        properties->size > size - properties->at)
        return false;
    const auto last = read_extent(fd.get(), {properties->at + properties->size - 1, 1});
    return last && (last->front() & hash_index_bit) != 0;
}

}  // namespace

std::optional<Extent> meta_index_extent(ByteView footer) {
    if (footer.size() != footer_bytes || get_u64(footer, magic_at) != table_magic ||
        get_u32(footer, version_at) > version_max)
        return std::nullopt;
    return take_extent(footer.subspan(1, version_at - 1));
}

std::optional<Extent> properties_extent(ByteView meta_index) {
    const std::string_view text = as_text(meta_index);
    const auto found = text.find(properties_name);
    if (found == std::string_view::npos) return std::nullopt;
    return take_extent(meta_index.subspan(found + properties_name.size()));
}

Result<> guard_tables(const std::filesystem::path& database) {
    const auto files = list_files(database);
    if (!files) return {};  // RocksDB says what is wrong with the directory
    for (const auto& file : *files)
        if (file.extension() == ".sst" && aborts_rocksdb(file))
            return Error(Errc::corrupt, "log_damaged",
                         file.native() + ": the block of properties is damaged");
    return {};
}

}  // namespace drover::eventlog
