/// What the tests of the BPF tracker share: a loop disk with a job around it, and a way to undo
/// what a BPF program did.
#pragma once

#include "base/random.h"
#include "replicator/bpf/track_layout.h"
#include "replicator/bpffs.h"
#include "replicator/ebpf_tracker.h"
#include "tests/replicator/loop_disk.h"

#include <atomic>
#include <filesystem>

#include <catch2/catch.hpp>

#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace drover::replicator {

inline constexpr std::uint64_t disk_bytes = (32U << 20) + 3 * 512;  // ends inside a block
inline constexpr int audits_max = 200'000;

/// A value or the failure of the test, with its reason.
template <class T>
T must(Result<T> result) {
    if (!result) FAIL(result.error().text());
    return std::move(*result);
}

/// A loop disk, a job and a state directory; all of it is gone afterwards.
class Bench {
  public:
    /// Null, with a warning, where the host cannot do it.
    static std::unique_ptr<Bench> make() {
        std::unique_ptr<Bench> bench(new Bench);
        std::string why = "not root";
        if (::geteuid() == 0) bench->disk_ = LoopDisk::make(disk_bytes, why);
        if (bench->disk_) {
            const auto able = ebpf_can_track(bench->disk_->facts());
            if (able) return bench;
            why = able.error().text();
        }
        WARN("skipped: " << why);
        return nullptr;
    }

    Bench() {
        options_.job = SystemRandom().uuid();
        options_.boot_id = "boot-1";
        std::string path = "/var/tmp/drover-tracker-XXXXXX";
        options_.state_directory = ::mkdtemp(path.data());
    }

    ~Bench() {
        if (disk_) CHECK(remove_pins(pins()));
        std::filesystem::remove_all(options_.state_directory);
    }

    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;

    [[nodiscard]] LoopDisk& disk() { return *disk_; }

    [[nodiscard]] TrackerOptions& options() { return options_; }

    [[nodiscard]] std::filesystem::path pins() const {
        return pin_directory(options_.job, options_.disk);
    }

    [[nodiscard]] std::unique_ptr<ChangeTracker> open() { return open(disk_->facts()); }

    [[nodiscard]] std::unique_ptr<ChangeTracker> open(const DeviceFacts& facts) {
        NamedDisk named(facts);
        return must(open_ebpf_tracker(named, options_));
    }

  private:
    std::unique_ptr<LoopDisk> disk_;
    TrackerOptions options_;
};

/// Asks until the answer is not "busy".
inline Audit settled_audit(ChangeTracker& tracker) {
    for (int i = 0; i < audits_max; ++i) {
        Audit audit = must(tracker.audit());
        if (audit.verdict != Audit::Verdict::busy) return audit;
    }
    FAIL("the audit stayed busy on an idle disk");
    return {};
}

/// The value of a pinned one-element map, as another process would see it: tests use it to undo
/// what a program did, which is the same as the program not having run.
template <class T>
class PinnedValue {
  public:
    explicit PinnedValue(const std::filesystem::path& path) {
        bpf_attr attribute{};
        attribute.pathname = reinterpret_cast<std::uint64_t>(path.c_str());
        const Fd fd(
            static_cast<int>(::syscall(SYS_bpf, BPF_OBJ_GET, &attribute, sizeof(attribute))));
        memory_ = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
        REQUIRE(memory_ != MAP_FAILED);
    }

    ~PinnedValue() { ::munmap(memory_, length); }

    PinnedValue(const PinnedValue&) = delete;
    PinnedValue& operator=(const PinnedValue&) = delete;

    T* operator->() const { return static_cast<T*>(memory_); }

  private:
    static constexpr std::size_t length = 4096;
    void* memory_ = nullptr;
};

using Counters = PinnedValue<track_counters>;
using Control = PinnedValue<track_control>;

inline void subtract(unsigned long long& counter, std::uint64_t amount) {
    std::atomic_ref<unsigned long long>(counter).fetch_sub(amount);
}

/// Writes a block that nobody else writes and takes its completion event back: bit and sectors.
/// False if the host lost the event without our help.
inline bool lose_event(const LoopDisk& disk, ChangeTracker& tracker, const Counters& counters,
                       std::uint64_t block) {
    REQUIRE(disk.write(block * block_bytes, block_bytes, 0xee));
    if (!tracker.dirty().test(block)) return false;
    tracker.dirty().clear(block, 1);
    subtract(counters->completed_written, block_bytes / 512);
    return true;
}

}  // namespace drover::replicator
