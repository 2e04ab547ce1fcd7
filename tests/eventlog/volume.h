/// What of a directory tree survives a power failure: every file's contents and every directory's
/// entries, kept twice, as they are and as they are known to be on the device.
///
///   write, resize ─► pending changes of the file ─── fsync of the file ───► durable contents
///   create, rename, remove ─► pending changes of the directory ─ fsync of it ─► durable entries
///
/// A power failure keeps what is durable and draws what becomes of the rest. A file's changes:
/// none, all, those up to some byte, or any of their sectors, at the full length and with zeros
/// between them. A directory's changes: those up to some one of them. That is what filesystems with
/// a journal promise, and RocksDB needs it: it points CURRENT to a manifest whose name it has not
/// synced. Does no I/O but in the constructor and lose_power(). Not thread-safe.
#pragma once

#include "base/bytes.h"
#include "base/random.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace drover::eventlog::testing {

class Volume {
  public:
    using Inode = int;
    static constexpr Inode none = -1;

    /// Everything below `root` is durable.
    explicit Volume(const std::filesystem::path& root);

    /// Paths are relative to the root, which is "".
    [[nodiscard]] Inode find(const std::string& path) const;
    /// The file at `path`, made if there is none.
    Inode create(const std::string& path);
    void make_directory(const std::string& path);
    void remove(const std::string& path);
    void rename(const std::string& from, const std::string& to);
    void link(const std::string& from, const std::string& to);

    void write(Inode file, std::uint64_t at, ByteView bytes);
    void resize(Inode file, std::uint64_t size);
    /// Only if it is shorter.
    void grow(Inode file, std::uint64_t size);

    /// The contents of a file, or the entries of a directory, are on the device from here on.
    void sync(Inode node);
    /// A sync that failed: the kernel calls the pages clean and never writes them again.
    void forget_pending(Inode node);

    /// Writes what the device would show after a power failure to a new directory.
    void lose_power(Random& random, const std::filesystem::path& to) const;

  private:
    struct Change {
        std::uint64_t at = 0;  ///< or the new size
        Bytes bytes;
        bool resizes = false;
    };

    /// All of one call: names with their new node, or none.
    using EntryChange = std::vector<std::pair<std::string, Inode>>;
    using Entries = std::map<std::string, Inode>;

    struct Node {
        bool directory = false;
        Bytes durable;
        std::vector<Change> pending;
        Entries entries;
        Entries durable_entries;
        std::vector<EntryChange> pending_entries;
    };

    struct Place {
        Inode directory;
        std::string name;
    };

    Inode add_node(bool directory);
    void load(Inode into, const std::filesystem::path& from);
    [[nodiscard]] Place place(const std::string& path) const;
    void change_entries(Inode directory, EntryChange change);
    static void apply(const Change& change, Bytes& contents);
    static void apply(const EntryChange& change, Entries& entries);
    static Bytes survivor(const Node& file, Random& random);
    static Entries surviving_entries(const Node& directory, Random& random);
    void write_out(Inode node, Random& random, const std::filesystem::path& to) const;

    std::vector<Node> nodes_;
};

}  // namespace drover::eventlog::testing
