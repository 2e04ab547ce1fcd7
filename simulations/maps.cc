// The simulator's replicator/shared_map.h: words that outlive a killed process, not a reboot.
#include "base/sha256.h"
#include "replicator/shared_map.h"
#include "simulations/environment.h"

#include <utility>

namespace drover::replicator {
namespace {

using sim::Environment;
using sim::MappedWords;

/// Everything of a key that must be the same for the words to mean anything.
Bytes header_of(const MapKey& key, std::uint64_t words) {
    Bytes text;
    for (const std::string& part : {key.kind, key.identity, key.boot_id}) {
        put_u32(text, static_cast<std::uint32_t>(part.size()));
        put_bytes(text, as_bytes(part));
    }
    put_bytes(text, key.job.view());
    put_u32(text, key.disk);
    put_u64(text, key.size_bytes);
    put_u64(text, words);
    return text;
}

}  // namespace

// `base_` points at a shared_ptr of its own, so that a removed file's words live as long as it.
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
    delete static_cast<std::shared_ptr<MappedWords>*>(base_);
}

std::span<std::uint64_t> SharedMap::words() const {
    return (*static_cast<std::shared_ptr<MappedWords>*>(base_))->words;
}

void SharedMap::release(std::size_t, std::size_t) const {}

Result<std::optional<SharedMap>> SharedMap::adopt(const std::filesystem::path& path,
                                                  const MapKey& key, std::uint64_t words) {
    TRY_VOID(Environment::current().attempt("map.open", path.native()));
    const auto& maps = Environment::current().maps;
    const auto found = maps.find(path.native());
    const Bytes header = header_of(key, words);
    const bool fits = found != maps.end() && found->second->header.size() == header.size() + 16 &&
                      std::equal(header.begin(), header.end(), found->second->header.begin());
    if (!fits) return std::optional<SharedMap>();
    const auto generation =
        Generation::from(ByteView(found->second->header).subspan(header.size(), 16));
    return std::optional<SharedMap>(
        SharedMap(new std::shared_ptr<MappedWords>(found->second), words, *generation));
}

Result<SharedMap> SharedMap::create(const std::filesystem::path& path, const MapKey& key,
                                    const Generation& generation, std::uint64_t words) {
    Environment& environment = Environment::current();
    TRY_VOID(environment.attempt("map.create", path.native()));
    auto made = std::make_shared<MappedWords>();
    made->header = header_of(key, words);
    put_bytes(made->header, generation.view());
    made->words.resize(words);
    environment.maps[path.native()] = made;
    environment.step("map.created");
    return SharedMap(new std::shared_ptr<MappedWords>(made), words, generation);
}

bool SharedMap::exists(const std::filesystem::path& path) {
    return Environment::current().maps.contains(path.native());
}

void SharedMap::remove(const std::filesystem::path& path) {
    Environment::current().maps.erase(path.native());
}

}  // namespace drover::replicator
