#include "tests/replicator/filesystem_bench.h"

#include "base/random.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <iterator>

#include <fcntl.h>
#include <unistd.h>

namespace drover::replicator {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view sealed = "sealed-";
constexpr std::uint64_t file_bytes_max = 1U << 20;
/// Older ones are deleted.
constexpr std::size_t files_kept = 24;

Bytes content_of(std::uint64_t seed, std::uint64_t length) {
    Bytes content(length);
    std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
    for (std::uint8_t& byte : content) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte = static_cast<std::uint8_t>(1 + state % 255);  // never 0: what was left out would be
    }
    return content;
}

bool has_program(const std::string& name) {
    return shell("PATH=$PATH:/sbin:/usr/sbin command -v " + name);
}

}  // namespace

bool shell(const std::string& command) {
    char log[] = "/tmp/drover-shell-XXXXXX";
    const int fd = ::mkstemp(log);
    if (fd >= 0) ::close(fd);
    const std::string whole = "{ PATH=$PATH:/sbin:/usr/sbin; " + command + "; } >" + log + " 2>&1";
    const int status = std::system(whole.c_str());
    if (status != 0) {
        std::ifstream output(log);
        std::cerr << command << ": status " << status << "\n" << output.rdbuf() << "\n";
    }
    ::unlink(log);
    return status == 0;
}

const std::vector<FilesystemTools>& filesystem_tools() {
    static const std::vector<FilesystemTools> tools = {
        {"ext4", "mkfs.ext4 -q -F", "e2fsck -fn", {"mkfs.ext4", "e2fsck"}},
        {"xfs", "mkfs.xfs -q -f", "xfs_repair -n", {"mkfs.xfs", "xfs_repair"}},
        {"btrfs",
         "mkfs.btrfs -q -f",
         "btrfs device scan --forget; btrfs check --readonly",
         {"mkfs.btrfs", "btrfs"}}};
    return tools;
}

std::unique_ptr<FilesystemBench> FilesystemBench::make(const FilesystemTools& tools,
                                                       std::uint64_t start, std::string& why) {
    why = "not root";
    if (::geteuid() != 0) return nullptr;
    std::ifstream known("/proc/filesystems");
    const std::string kernel((std::istreambuf_iterator<char>(known)), {});
    why = "this kernel has no " + tools.type + " (and modprobe brings none)";
    if (kernel.find("\t" + tools.type + "\n") == std::string::npos &&
        !shell("modprobe " + tools.type))
        return nullptr;
    for (const std::string& program : tools.needs) {
        why = "there is no " + program;
        if (!has_program(program)) return nullptr;
    }
    std::unique_ptr<FilesystemBench> bench(new FilesystemBench);
    bench->tools_ = tools;
    const std::string directory = roomy_directory(4 * filesystem_disk_bytes);
    bench->source_ = LoopDisk::make(filesystem_disk_bytes, why, directory);
    if (!bench->source_) return nullptr;
    bench->target_ = LoopDisk::make(filesystem_disk_bytes, why, directory);
    if (!bench->target_) return nullptr;
    bench->source_path_ = bench->source_->facts().path;
    bench->target_path_ = bench->target_->facts().path;
    if (start != 0) {
        why = "no partitions on loop devices";
        for (const LoopDisk* disk : {bench->source_.get(), bench->target_.get()})
            if (!disk->add_partition(start, filesystem_disk_bytes - start - (1U << 20)).valid())
                return nullptr;
        bench->source_path_ += "p1";
        bench->target_path_ += "p1";
    }
    char name[] = "/tmp/drover mount-XXXXXX";  // with a blank: mountinfo escapes it
    bench->directory_ = ::mkdtemp(name);
    bench->root_ = bench->directory_ / "mounted here";
    fs::create_directory(bench->root_);
    why = "mkfs failed";
    return shell(tools.make + " " + bench->source_path_) ? std::move(bench) : nullptr;
}

FilesystemBench::~FilesystemBench() {
    if (is_mounted_ && !unmount()) std::cerr << "left mounted: " << root_ << "\n";
    if (directory_.empty()) return;
    std::error_code ignored;
    // Not what is below: if it is still mounted, that would be the test's disk.
    fs::remove(root_, ignored);
    fs::remove(directory_, ignored);
}

bool FilesystemBench::mount(const std::string& options) {
    is_mounted_ = shell("mount -t " + tools_.type + " -o " + options + " " + source_path_ + " '" +
                        root_.native() + "'");
    return is_mounted_;
}

bool FilesystemBench::unmount() {
    is_mounted_ = !shell("umount '" + root_.native() + "'");
    return !is_mounted_;
}

std::string FilesystemBench::wrong_in_copy(std::vector<std::string>* names) {
    const std::string place = " '" + root_.native() + "'";
    // Two disks with the same identity: the kernel must have forgotten the other one.
    if (tools_.type == "btrfs" && !shell("btrfs device scan --forget")) return "btrfs remembers";
    if (!shell("mount -t " + tools_.type + " -o ro " + target_path_ + place))
        return "the copy cannot be mounted";
    std::string wrong = wrong_sealed_files(root_, names);
    if (!shell("umount" + place)) return "the copy cannot be unmounted";
    if (!shell(tools_.check + " " + target_path_)) wrong += " the copy is not clean";
    return wrong;
}

bool write_sealed_file(const fs::path& directory, std::uint64_t seed, std::uint64_t length) {
    const fs::path draft = directory / ("draft-" + std::to_string(seed));
    const Fd fd(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) return false;
    if (!write_all(fd.get(), content_of(seed, length), draft.native())) return false;
    if (::fsync(fd.get()) != 0) return false;
    const std::string name =
        std::string(sealed) + std::to_string(seed) + "-" + std::to_string(length);
    std::error_code failed;
    fs::rename(draft, directory / name, failed);
    return !failed;
}

std::string wrong_sealed_files(const fs::path& tree, std::vector<std::string>* names) {
    std::string wrong;
    for (const auto& entry : fs::recursive_directory_iterator(tree)) {
        const std::string name = entry.path().filename().native();
        if (!name.starts_with(sealed)) continue;
        if (names != nullptr) names->push_back(entry.path().lexically_relative(tree));
        unsigned long long seed = 0;
        unsigned long long length = 0;
        if (std::sscanf(name.c_str(), "sealed-%llu-%llu", &seed, &length) != 2) return name;
        std::ifstream file(entry.path(), std::ios::binary);
        const Bytes found((std::istreambuf_iterator<char>(file)), {});
        if (found == content_of(seed, length)) continue;
        const auto zeroes = std::count(found.begin(), found.end(), std::uint8_t{0});
        wrong += name + " (" + std::to_string(found.size()) + " bytes, " + std::to_string(zeroes) +
                 " of them zero) ";
    }
    if (names != nullptr) std::sort(names->begin(), names->end());
    return wrong;
}

void churn(const fs::path& directory, std::uint64_t seed, std::atomic<bool>& stop) {
    SeededRandom random(seed);
    std::deque<std::pair<std::uint64_t, std::uint64_t>> kept;
    for (std::uint64_t i = 0; !stop; ++i) {
        const std::uint64_t file = seed * 1'000'000 + i;
        const std::uint64_t length = 1 + random.below(file_bytes_max);
        if (write_sealed_file(directory, file, length)) kept.emplace_back(file, length);
        while (kept.size() > files_kept / 2 + random.below(files_kept)) {
            const auto [old, old_length] = kept.front();
            kept.pop_front();
            std::error_code ignored;
            fs::remove(directory / (std::string(sealed) + std::to_string(old) + "-" +
                                    std::to_string(old_length)),
                       ignored);
        }
    }
}

}  // namespace drover::replicator
