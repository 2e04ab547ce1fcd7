/// Words in a memory-mapped file: block maps and counters that survive a killed process (the page
/// cache keeps them), but on purpose not a reboot, after which writes may have gone unseen.
///
///   | 0 magic 8 | 8 key digest 32 | 40 generation 16 | 56 words u64 | 64 crc32c u32 | pad to 4096
///   | | payload: `words` little-endian u64, accessed in place |
///
/// The key digest covers everything that must be the same for the contents to mean anything: kind,
/// job, disk, size, identity, boot. A file is adopted only if all of it matches.
#pragma once

#include "base/result.h"
#include "schemas/model.h"

#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace drover::replicator {

struct MapKey {
    std::string kind;  ///< what the payload is, for example "scan-1"
    JobId job;
    std::uint32_t disk = 0;
    std::uint64_t size_bytes = 0;
    std::string identity;  ///< of the disk, or a digest over what else must not have changed
    std::string boot_id;
};

/// Movable owner of the mapping. The words may be used from any thread, atomically.
class SharedMap {
  public:
    SharedMap(SharedMap&& other) noexcept;
    SharedMap& operator=(SharedMap&& other) noexcept;
    ~SharedMap();

    /// The state of an earlier process; nullopt when the file is absent, damaged, or was written
    /// for something else. Errors: io.
    [[nodiscard]] static Result<std::optional<SharedMap>> adopt(const std::filesystem::path& path,
                                                                const MapKey& key,
                                                                std::uint64_t words);

    /// All-zero words in place of whatever was there; appears under its name only when complete.
    /// Errors: io, unavailable (no space).
    [[nodiscard]] static Result<SharedMap> create(const std::filesystem::path& path,
                                                  const MapKey& key, const Generation& generation,
                                                  std::uint64_t words);

    [[nodiscard]] static bool exists(const std::filesystem::path& path);
    /// A file that is not there, or cannot be removed, is as good: its key fits nothing later.
    static void remove(const std::filesystem::path& path);

    [[nodiscard]] const Generation& generation() const { return generation_; }

    [[nodiscard]] std::span<std::uint64_t> words() const;

    /// These words are not needed for a while: what they hold stays, in the kernel's page cache,
    /// but no longer counts as memory of this process until somebody looks at it again.
    void release(std::size_t first_word, std::size_t count) const;

  private:
    SharedMap(void* base, std::uint64_t words, const Generation& generation)
        : base_(base),
          words_(words),
          generation_(generation) {}

    void* base_ = nullptr;
    std::uint64_t words_ = 0;
    Generation generation_;
};

}  // namespace drover::replicator
