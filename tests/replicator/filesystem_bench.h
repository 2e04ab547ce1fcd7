/// A filesystem on a partition of a loop disk, files that can be checked by their names, and a
/// second disk to copy it to. Root only.
#pragma once

#include "tests/replicator/loop_disk.h"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace drover::replicator {

/// Runs a shell command; its output goes to the test's log if it fails.
[[nodiscard]] bool shell(const std::string& command);

struct FilesystemTools {
    std::string type;                ///< of mount(8)
    std::string make;                ///< the device's path follows
    std::string check;               ///< changes nothing; fails unless the filesystem is clean
    std::vector<std::string> needs;  ///< programs
    std::string options = "rw";      ///< of the copy: same identity as the original
};

[[nodiscard]] const std::vector<FilesystemTools>& filesystem_tools();

/// Not the multiple of a block: what is free has to be cut.
constexpr std::uint64_t odd_start = (1U << 20) + 3 * 512;
constexpr std::uint64_t filesystem_disk_bytes = 400U << 20;

class FilesystemBench {
  public:
    /// Null, with a reason, where the host cannot do it. `start` 0: on the whole disk.
    [[nodiscard]] static std::unique_ptr<FilesystemBench> make(const FilesystemTools& tools,
                                                               std::uint64_t start,
                                                               std::string& why);
    ~FilesystemBench();
    FilesystemBench(const FilesystemBench&) = delete;
    FilesystemBench& operator=(const FilesystemBench&) = delete;

    [[nodiscard]] bool mount(const std::string& options = "rw");
    [[nodiscard]] bool unmount();

    [[nodiscard]] LoopDisk& disk() { return *source_; }

    [[nodiscard]] LoopDisk& copy() { return *target_; }

    [[nodiscard]] const std::filesystem::path& root() const { return root_; }

    /// The copy is mounted (which replays its journal), every file of it checked, and unmounted;
    /// then the filesystem is checked. Empty, or what is wrong. The original must be unmounted.
    [[nodiscard]] std::string wrong_in_copy(std::vector<std::string>* names = nullptr);

  private:
    FilesystemBench() = default;

    FilesystemTools tools_;
    std::unique_ptr<LoopDisk> source_;
    std::unique_ptr<LoopDisk> target_;
    std::string source_path_;
    std::string target_path_;
    std::filesystem::path directory_;
    std::filesystem::path root_;
    bool is_mounted_ = false;
};

/// A file's name holds the seed and the length of its content. It is written under another name,
/// synced and renamed: a crash leaves none that is incomplete.
[[nodiscard]] bool write_sealed_file(const std::filesystem::path& directory, std::uint64_t seed,
                                     std::uint64_t length);
/// Sealed files of the tree whose content is not what the name says. Others are not looked at.
[[nodiscard]] std::string wrong_sealed_files(const std::filesystem::path& tree,
                                             std::vector<std::string>* names);

/// Creates, seals and deletes files until told to stop.
void churn(const std::filesystem::path& directory, std::uint64_t seed, std::atomic<bool>& stop);

}  // namespace drover::replicator
