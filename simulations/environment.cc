#include "simulations/environment.h"

#include "base/assert.h"

namespace drover::sim {
namespace {

Environment* the_environment = nullptr;

template <class Map>
std::pair<typename Map::iterator, typename Map::iterator> below(Map& map, const std::string& root) {
    return {map.lower_bound(root + "/"), map.lower_bound(root + "0")};  // '0' follows '/'
}

}  // namespace

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

void Environment::lose_power(const std::string& root) {
    const auto [first, last] = below(files, root);
    for (auto file = first; file != last;) {
        file->second.now = file->second.durable;
        file = file->second.now ? std::next(file) : files.erase(file);
    }
    const auto [first_map, last_map] = below(maps, root);
    maps.erase(first_map, last_map);
}

void Environment::remove_tree(const std::string& root) {
    const auto [first, last] = below(files, root);
    files.erase(first, last);
    const auto [first_map, last_map] = below(maps, root);
    maps.erase(first_map, last_map);
}

void Environment::copy_tree(const std::string& from, const std::string& to) {
    std::map<std::string, File> copies;
    const auto [first, last] = below(files, from);
    for (auto file = first; file != last; ++file)
        copies[to + file->first.substr(from.size())] = file->second;
    files.merge(copies);
}

void Environment::take_sync_time() {
    const Micros time = sync_time ? sync_time() : 0;
    if (time > 0) Scheduler::current().sleep(time);
}

}  // namespace drover::sim
