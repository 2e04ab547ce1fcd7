#include "eventlog/wal_tail.h"

#include "base/bytes.h"
#include "base/file.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace drover::eventlog {
namespace {

constexpr std::size_t block_bytes = 32768;
constexpr std::size_t header_bytes = 7;  ///< checksum 4, length 2, type 1
constexpr std::size_t wal_bytes_max = std::size_t{1} << 30;
constexpr std::size_t batch_header_bytes = 12;
constexpr std::uint32_t mask_delta = 0xa282ead8;

enum PieceType : std::uint8_t { full = 1, first = 2, middle = 3, last = 4 };

struct Piece {
    std::uint8_t type = 0;
    ByteView content;
    std::size_t end = 0;
};

/// `whole`: nothing but zeros follow its last record; `torn`: from the first byte on that belongs to
/// no whole record, none begins.
enum class WalEnd : std::uint8_t { whole, torn, damaged };

/// What one write-ahead log holds of RocksDB's own numbering of writes.
struct Wal {
    WalEnd end = WalEnd::whole;
    std::optional<std::uint64_t> first;  ///< number of its first write, if it has a whole record
    std::optional<std::uint64_t> next;   ///< that of the write after its last whole record
};

std::uint32_t masked(std::uint32_t crc) {
    return ((crc >> 15) | (crc << 17)) + mask_delta;
}

/// Without the zeros that a file grown ahead ends in (rocksdb_files.h).
ByteView written(ByteView wal) {
    while (!wal.empty() && wal.back() == 0) wal = wal.first(wal.size() - 1);
    return wal;
}

bool begins_record(const Piece& piece) {
    return piece.type == full || piece.type == first;
}

/// The piece at `at`, when all of it is there with the right checksum.
std::optional<Piece> piece_at(ByteView wal, std::size_t at) {
    if (at % block_bytes + header_bytes > block_bytes || at + header_bytes > wal.size()) return {};
    const std::size_t size = get_u16(wal, at + 4);
    if (at + header_bytes + size > wal.size()) return {};
    const Piece piece{wal[at + 6], wal.subspan(at + header_bytes, size), at + header_bytes + size};
    if (piece.type < full || piece.type > last) return {};
    if (piece.end > (at / block_bytes + 1) * block_bytes) return {};
    if (get_u32(wal, at) != masked(crc32c(wal.subspan(at + 6, piece.end - at - 6)))) return {};
    return piece;
}

bool ends_record(const Piece& piece) {
    return piece.type == full || piece.type == last;
}

/// A record is a batch: the number of its first write 8, how many there are 4, then the writes.
void note_batch(ByteView beginning, Wal& wal) {
    if (beginning.size() < batch_header_bytes) return;
    const std::uint64_t number = get_u64(beginning, 0);
    if (!wal.first) wal.first = number;
    wal.next = number + get_u32(beginning, 8);
}

Wal read_wal(ByteView bytes) {
    Wal wal;
    Bytes beginning;  // of the record at hand; its pieces may be short
    bool in_record = false;
    std::size_t at = 0;
    while (at < bytes.size()) {
        const std::size_t block_left = block_bytes - at % block_bytes;
        if (block_left < header_bytes) {
            at += block_left;
            continue;
        }
        const auto piece = piece_at(bytes, at);
        if (!piece || begins_record(*piece) == in_record) break;
        if (!in_record) beginning.clear();
        const auto more =
            std::min(piece->content.size(),
                     batch_header_bytes - std::min(beginning.size(), batch_header_bytes));
        beginning.insert(beginning.end(), piece->content.begin(),
                         piece->content.begin() + static_cast<std::ptrdiff_t>(more));
        in_record = !ends_record(*piece);
        if (!in_record) note_batch(beginning, wal);
        at = piece->end;
    }
    if (!in_record && at >= written(bytes).size()) return wal;
    wal.end = WalEnd::torn;
    for (std::size_t behind = at; behind < bytes.size(); ++behind) {
        const auto piece = piece_at(bytes, behind);
        if (piece && begins_record(*piece)) wal.end = WalEnd::damaged;
    }
    return wal;
}

}  // namespace

bool ends_torn(const std::filesystem::path& database) {
    const auto files = list_files(database);
    if (!files) return false;
    std::vector<Wal> wals;
    for (const auto& file : *files) {  // in order: their names are numbers of six digits
        if (file.extension() != ".log") continue;
        const auto bytes = read_file(file, wal_bytes_max);
        if (!bytes) return false;
        wals.push_back(read_wal(*bytes));
    }
    bool any_torn = false;
    const Wal* torn = nullptr;  // the last that has records, when its end is torn
    for (const Wal& wal : wals) {
        if (wal.end == WalEnd::damaged) return false;
        any_torn = any_torn || wal.end == WalEnd::torn;
        if (!wal.first) continue;
        if (torn != nullptr && wal.first != torn->next) return false;
        torn = wal.end == WalEnd::torn ? &wal : nullptr;
    }
    return any_torn;
}

}  // namespace drover::eventlog
