/// The BPF objects of one tracked disk: two programs with their links, five maps, all pinned. The
/// only code that talks to libbpf; its messages end up in the Error, never on stderr.
#pragma once

#include "base/file.h"
#include "replicator/bpf/track_layout.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace drover::replicator {

struct TrackedDisk {
    std::uint32_t major = 0;
    std::uint32_t minor = 0;
    std::uint64_t blocks = 0;
};

/// Success if this kernel and this process's rights allow loading the programs at all.
/// Errors: unsupported, with the reason.
[[nodiscard]] Result<> probe_bpf();

/// A map's memory, shared with the kernel.
class MappedArray {
  public:
    MappedArray() = default;

    MappedArray(void* memory, std::size_t length)
        : memory_(memory),
          length_(length) {}

    MappedArray(MappedArray&& other) noexcept;
    MappedArray& operator=(MappedArray&& other) noexcept;
    ~MappedArray();

    template <class T>
    [[nodiscard]] T* as() const {
        return static_cast<T*>(memory_);
    }

  private:
    void* memory_ = nullptr;
    std::size_t length_ = 0;
};

/// Movable; the mapped memory stays at its address. Thread-safe except for detach().
class KernelTracker {
  public:
    /// Loads, attaches and pins everything below `directory`, which exists and is empty. From here
    /// on writes are marked. After an error some pins may be left: remove them. Errors:
    /// unsupported, with what the kernel said.
    [[nodiscard]] static Result<KernelTracker> attach(const std::filesystem::path& directory,
                                                      const TrackedDisk& disk);

    /// Takes over what an earlier process pinned. Errors: not_found, conflict (other sizes), io.
    [[nodiscard]] static Result<KernelTracker> reopen(const std::filesystem::path& directory,
                                                      std::uint64_t blocks);

    /// Kernel ids of links, programs (with tags) and maps: equal only for the very same objects.
    [[nodiscard]] const std::string& identity() const { return identity_; }

    [[nodiscard]] std::uint64_t* dirty() const { return dirty_.as<std::uint64_t>(); }

    /// `side` is 0 or 1, see track_control::issue_side.
    [[nodiscard]] std::uint64_t* issued(std::uint32_t side) const {
        return issued_[side].as<std::uint64_t>();
    }

    [[nodiscard]] track_counters& counters() const { return *counters_.as<track_counters>(); }

    [[nodiscard]] track_control& control() const { return *control_.as<track_control>(); }

    /// How often the kernel skipped a program because it interrupted itself.
    [[nodiscard]] std::uint64_t recursion_misses() const;

    /// Gives up the links and programs; with their pins removed, tracking ends. Memory stays
    /// mapped.
    void detach();

  private:
    [[nodiscard]] Result<> take_programs(const std::filesystem::path& directory);
    [[nodiscard]] Result<> take_maps(const std::filesystem::path& directory, std::uint64_t blocks);

    std::array<Fd, 2> links_;
    std::array<Fd, 2> programs_;
    MappedArray dirty_;
    std::array<MappedArray, 2> issued_;
    MappedArray counters_;
    MappedArray control_;
    std::string identity_;
};

}  // namespace drover::replicator
