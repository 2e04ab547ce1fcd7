#include "eventlog/wal_tail.h"

#include "base/file.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace drover::eventlog {
namespace {

constexpr std::size_t block_bytes = 32768;
constexpr std::size_t header_bytes = 7;  ///< checksum 4, length 2, type 1
constexpr std::size_t wal_bytes_max = std::size_t{1} << 30;
/// A batch without content: a header and sequence number 8, count 4. RocksDB writes one into the
/// log that follows a torn one.
constexpr std::size_t empty_batch_bytes = header_bytes + 12;
constexpr std::uint32_t mask_delta = 0xa282ead8;

enum PieceType : std::uint8_t { full = 1, first = 2, middle = 3, last = 4 };

struct Piece {
    std::uint8_t type = 0;
    std::size_t end = 0;
};

std::uint32_t masked(std::uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + mask_delta;
}

bool begins_record(const Piece& piece) {
    return piece.type == full || piece.type == first;
}

/// The piece at `at`, when all of it is there with the right checksum.
std::optional<Piece> piece_at(ByteView wal, std::size_t at) {
    if (at % block_bytes + header_bytes > block_bytes || at + header_bytes > wal.size()) return {};
    const Piece piece{wal[at + 6], at + header_bytes + get_u16(wal, at + 4)};
    if (piece.type < full || piece.type > last || piece.end > wal.size()) return {};
    if (piece.end > (at / block_bytes + 1) * block_bytes) return {};
    if (get_u32(wal, at) != masked(crc32c(wal.subspan(at + 6, piece.end - at - 6)))) return {};
    return piece;
}

}  // namespace

WalEnd wal_end(ByteView wal) {
    std::size_t at = 0;
    while (at < wal.size()) {
        const std::size_t block_left = block_bytes - at % block_bytes;
        if (block_left < header_bytes) {
            at += block_left;
            continue;
        }
        const auto piece = piece_at(wal, at);
        if (!piece) break;
        at = piece->end;
    }
    const ByteView rest = wal.subspan(std::min(at, wal.size()));
    if (std::all_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte == 0; }))
        return WalEnd::whole;  // the file was grown ahead (rocksdb_files.h)
    for (std::size_t behind = at + 1; behind < wal.size(); ++behind) {
        const auto piece = piece_at(wal, behind);
        if (piece && begins_record(*piece)) return WalEnd::damaged;
    }
    return WalEnd::torn;
}

bool ends_torn(const std::filesystem::path& database) {
    const auto files = list_files(database);
    if (!files) return false;
    std::vector<WalEnd> ends;
    for (const auto& file : *files) {  // in order: their names are numbers of six digits
        if (file.extension() != ".log") continue;
        const auto wal = read_file(file, wal_bytes_max);
        if (!wal) return false;
        if (wal->size() > empty_batch_bytes) ends.push_back(wal_end(*wal));
    }
    return !ends.empty() && ends.back() == WalEnd::torn &&
           std::all_of(ends.begin(), ends.end() - 1,
                       [](WalEnd end) { return end == WalEnd::whole; });
}

}  // namespace drover::eventlog
