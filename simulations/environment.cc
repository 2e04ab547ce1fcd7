#include "simulations/environment.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::sim {
namespace {

Environment* the_environment = nullptr;

template <class Map>
std::pair<typename Map::iterator, typename Map::iterator> below(Map& map, const std::string& root) {
    return {map.lower_bound(root + "/"), map.lower_bound(root + "0")};  // '0' follows '/'
}

/// Of a file that is written in place.
void lose_unsynced(File& file, Dice& dice) {
    constexpr std::size_t block_bytes = 4096;
    for (std::size_t block = 0; block < file.unsynced.size(); ++block) {
        if (!file.unsynced[block]) continue;
        file.unsynced[block] = false;

        enum : std::uint64_t { lost, kept, torn, outcomes };

        const std::uint64_t outcome = dice.below(outcomes);
        if (outcome == lost) continue;
        const auto at = static_cast<std::ptrdiff_t>(block * block_bytes);
        std::copy_n(file.now->begin() + at, outcome == kept ? block_bytes : block_bytes / 2,
                    file.durable->begin() + at);
    }
}

}  // namespace

Files::Tree& Files::of(std::string_view path) {
    const std::string_view machine = path.substr(0, path.find('/', 1));
    if (last_tree_ != nullptr && machine == last_) return *last_tree_;
    last_ = machine;
    last_tree_ = &trees_[last_];
    return *last_tree_;
}

File* Files::find(const std::string& path) {
    Tree& tree = of(path);
    const auto found = tree.find(path);
    return found == tree.end() || !found->second.now ? nullptr : &found->second;
}

Environment::Environment() {
    DROVER_ASSERT(the_environment == nullptr);
    the_environment = this;
}

Environment::~Environment() {
    the_environment = nullptr;
}

Environment& Environment::current() {
    DROVER_ASSERT(the_environment != nullptr);
    return *the_environment;
}

void Environment::lose_power(const std::string& root, Dice& dice) {
    Files::Tree& tree = files.of(root);
    const auto [first, last] = below(tree, root);
    for (auto file = first; file != last;) {
        const File& left = file->second;
        const bool is_whole = left.now && left.durable && left.now->size() == left.durable->size();
        if (is_whole) lose_unsynced(file->second, dice);
        file->second.now = file->second.durable;
        file = file->second.now ? std::next(file) : tree.erase(file);
    }
    const auto [first_map, last_map] = below(maps, root);
    maps.erase(first_map, last_map);
}

void Environment::remove_tree(const std::string& root) {
    Files::Tree& tree = files.of(root);
    const auto [first, last] = below(tree, root);
    tree.erase(first, last);
    const auto [first_map, last_map] = below(maps, root);
    maps.erase(first_map, last_map);
}

void Environment::copy_tree(const std::string& from, const std::string& to) {
    Files::Tree copies;
    const auto [first, last] = below(files.of(from), from);
    for (auto file = first; file != last; ++file)
        copies[to + file->first.substr(from.size())] = file->second;
    files.of(to).merge(copies);
}

void Environment::take_sync_time() {
    const Micros time = sync_time ? sync_time() : 0;
    if (time > 0) Scheduler::current().sleep(time);
}

}  // namespace drover::sim
