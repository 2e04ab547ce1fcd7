#include "tests/eventlog/volume.h"

#include "base/assert.h"
#include "base/file.h"

#include <algorithm>
#include <fstream>

namespace drover::eventlog::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t sector_bytes = 512;

/// What becomes of changes that were not synced.
enum class Fate : std::uint8_t { lost, kept, beginning, any_of_them };

Fate draw_fate(Random& random) {
    return static_cast<Fate>(random.below(4));
}

}  // namespace

Volume::Volume(const fs::path& root) {
    load(add_node(true), root);
}

Volume::Inode Volume::add_node(bool directory) {
    nodes_.emplace_back();
    nodes_.back().directory = directory;
    return static_cast<Inode>(nodes_.size()) - 1;
}

void Volume::load(Inode into, const fs::path& from) {
    for (const auto& entry : fs::directory_iterator(from)) {
        const Inode node = add_node(entry.is_directory());
        auto& directory = nodes_[static_cast<std::size_t>(into)];
        directory.entries[entry.path().filename()] = node;
        directory.durable_entries[entry.path().filename()] = node;
        if (entry.is_directory()) {
            load(node, entry.path());
        } else {
            auto contents = read_file(entry.path());
            DROVER_ASSERT(contents.has_value());
            nodes_[static_cast<std::size_t>(node)].durable = std::move(*contents);
        }
    }
}

Volume::Inode Volume::find(const std::string& path) const {
    Inode at = 0;
    for (const auto& part : fs::path(path)) {
        const Entries& entries = nodes_[static_cast<std::size_t>(at)].entries;
        const auto found = entries.find(part);
        if (found == entries.end()) return none;
        at = found->second;
    }
    return at;
}

Volume::Place Volume::place(const std::string& path) const {
    const fs::path whole(path);
    const Inode directory = find(whole.parent_path());
    DROVER_ASSERT(directory != none);
    return {directory, whole.filename()};
}

void Volume::apply(const EntryChange& change, Entries& entries) {
    for (const auto& [name, node] : change) {
        if (node == none)
            entries.erase(name);
        else
            entries[name] = node;
    }
}

void Volume::change_entries(Inode directory, EntryChange change) {
    Node& node = nodes_[static_cast<std::size_t>(directory)];
    apply(change, node.entries);
    node.pending_entries.push_back(std::move(change));
}

Volume::Inode Volume::create(const std::string& path) {
    if (const Inode present = find(path); present != none) return present;
    const Inode made = add_node(false);
    const Place to = place(path);
    change_entries(to.directory, {{to.name, made}});
    return made;
}

void Volume::make_directory(const std::string& path) {
    const Inode made = add_node(true);
    const Place to = place(path);
    change_entries(to.directory, {{to.name, made}});
}

void Volume::remove(const std::string& path) {
    const Place from = place(path);
    change_entries(from.directory, {{from.name, none}});
}

void Volume::rename(const std::string& from, const std::string& to) {
    const Inode moved = find(from);
    const Place old_place = place(from);
    const Place new_place = place(to);
    DROVER_ASSERT(old_place.directory == new_place.directory);
    change_entries(old_place.directory, {{old_place.name, none}, {new_place.name, moved}});
}

void Volume::link(const std::string& from, const std::string& to) {
    const Inode linked = find(from);
    const Place new_place = place(to);
    change_entries(new_place.directory, {{new_place.name, linked}});
}

void Volume::write(Inode file, std::uint64_t at, ByteView bytes) {
    nodes_[static_cast<std::size_t>(file)].pending.push_back(
        {at, Bytes(bytes.begin(), bytes.end()), false});
}

void Volume::resize(Inode file, std::uint64_t size) {
    nodes_[static_cast<std::size_t>(file)].pending.push_back({size, {}, true});
}

void Volume::grow(Inode file, std::uint64_t size) {
    const Node& node = nodes_[static_cast<std::size_t>(file)];
    std::uint64_t present = node.durable.size();
    for (const Change& change : node.pending)
        present = change.resizes ? change.at : std::max(present, change.at + change.bytes.size());
    if (present < size) resize(file, size);
}

void Volume::apply(const Change& change, Bytes& contents) {
    if (change.resizes) {
        contents.resize(change.at);
        return;
    }
    contents.resize(std::max<std::size_t>(contents.size(), change.at + change.bytes.size()));
    std::copy(change.bytes.begin(), change.bytes.end(),
              contents.begin() + static_cast<std::ptrdiff_t>(change.at));
}

void Volume::sync(Inode node) {
    Node& synced = nodes_[static_cast<std::size_t>(node)];
    for (const Change& change : synced.pending) apply(change, synced.durable);
    synced.pending.clear();
    synced.pending_entries.clear();
    synced.durable_entries = synced.entries;
}

void Volume::forget_pending(Inode node) {
    nodes_[static_cast<std::size_t>(node)].pending.clear();
}

/// The durable contents and what the draw leaves of the pending changes.
Bytes Volume::survivor(const Node& file, Random& random) {
    Bytes contents = file.durable;
    const Fate fate = draw_fate(random);
    if (file.pending.empty() || fate == Fate::lost) return contents;
    const std::size_t whole = fate == Fate::beginning
                                  ? static_cast<std::size_t>(random.below(file.pending.size()))
                                  : file.pending.size();
    for (std::size_t i = 0; i < whole; ++i) {
        const Change& change = file.pending[i];
        if (fate != Fate::any_of_them) {
            apply(change, contents);
            continue;
        }
        if (change.resizes) {
            if (random.below(2) == 0) apply(change, contents);
            continue;
        }
        // Sectors as the device has them: by their place in the file, not in the write.
        for (std::uint64_t at = change.at, end = at + change.bytes.size(); at < end;) {
            const std::uint64_t next = std::min(end, (at / sector_bytes + 1) * sector_bytes);
            const auto piece = ByteView(change.bytes).subspan(at - change.at, next - at);
            if (random.below(2) == 0)
                apply(Change{at, Bytes(piece.begin(), piece.end()), false}, contents);
            at = next;
        }
    }
    if (fate == Fate::beginning && !file.pending[whole].resizes) {
        Change torn = file.pending[whole];
        torn.bytes.resize(static_cast<std::size_t>(random.below(torn.bytes.size() + 1)));
        apply(torn, contents);
    }
    return contents;
}

Volume::Entries Volume::surviving_entries(const Node& directory, Random& random) {
    Entries entries = directory.durable_entries;
    const std::size_t count = directory.pending_entries.size();
    const auto kept = static_cast<std::size_t>(random.below(count + 1));
    for (std::size_t i = 0; i < kept; ++i) apply(directory.pending_entries[i], entries);
    return entries;
}

void Volume::write_out(Inode node, Random& random, const fs::path& to) const {
    const Node& from = nodes_[static_cast<std::size_t>(node)];
    if (!from.directory) {
        const Bytes contents = survivor(from, random);
        std::ofstream(to, std::ios::binary)
            .write(reinterpret_cast<const char*>(contents.data()),
                   static_cast<std::streamsize>(contents.size()));
        return;
    }
    fs::create_directory(to);
    for (const auto& [name, entry] : surviving_entries(from, random))
        write_out(entry, random, to / name);
}

void Volume::lose_power(Random& random, const fs::path& to) const {
    write_out(0, random, to);
}

}  // namespace drover::eventlog::testing
