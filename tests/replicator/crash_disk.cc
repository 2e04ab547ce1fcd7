#include "tests/replicator/crash_disk.h"

#include "replicator/device_range.h"

#include <algorithm>

namespace drover::replicator::testing {

CrashDisk::CrashDisk(Machine& machine, std::uint64_t size_bytes, std::string name)
    : machine_(machine),
      seen_(size_bytes),
      durable_(size_bytes) {
    facts_.path = name;
    facts_.identity = "crash:" + name;
    facts_.size_bytes = size_bytes;
}

Error CrashDisk::failed(const char* id) const {
    return Error(Errc::io, id, facts_.path + " failed as it was told");
}

void CrashDisk::put(Bytes& image, const Write& write) const {
    std::ranges::copy(write.data, image.begin() + static_cast<std::ptrdiff_t>(write.offset));
}

void CrashDisk::put_torn(Bytes& image, const Write& write) {
    for (std::size_t at = 0; at < write.data.size(); at += facts_.sector_bytes) {
        const std::size_t length =
            std::min<std::size_t>(facts_.sector_bytes, write.data.size() - at);
        if (machine_.random.below(2) == 0) continue;
        const auto from = write.data.begin() + static_cast<std::ptrdiff_t>(at);
        std::copy_n(from, length, image.begin() + static_cast<std::ptrdiff_t>(write.offset + at));
    }
}

Result<> CrashDisk::read(std::uint64_t offset, std::span<std::uint8_t> out) {
    assert_range(facts_, offset, out.size());
    if (machine_.is_dead) return failed("dead");
    std::copy_n(seen_.begin() + static_cast<std::ptrdiff_t>(offset), out.size(), out.begin());
    return {};
}

Result<> CrashDisk::fail_write(Mishap mishap, const Write& write) {
    machine_.is_dead = mishap == Mishap::death;
    if (mishap == Mishap::no_space)
        return Error(Errc::unavailable, "disk_full", facts_.path + " is full as it was told");
    if (mishap == Mishap::death || mishap == Mishap::short_write) {
        Write part = write;
        part.data.resize(machine_.random.below(write.data.size() / 512 + 1) * 512);
        put(seen_, part);
        unsynced_.push_back(std::move(part));
    }
    return failed(machine_.is_dead ? "dead" : "disk_write_failed");
}

Result<> CrashDisk::write(std::uint64_t offset, ByteView data) {
    assert_range(facts_, offset, data.size());
    if (machine_.is_dead) return failed("dead");
    Write write{offset, Bytes(data.begin(), data.end())};
    const auto mishap = machine_.mishaps.find(++machine_.steps);
    if (mishap != machine_.mishaps.end()) return fail_write(mishap->second, write);
    put(seen_, write);
    unsynced_.push_back(std::move(write));
    return {};
}

Result<> CrashDisk::write_zeroes(std::uint64_t offset, std::uint64_t length) {
    return write(offset, Bytes(static_cast<std::size_t>(length)));
}

Result<> CrashDisk::flush() {
    if (machine_.is_dead) return failed("dead");
    const auto found = machine_.mishaps.find(++machine_.steps);
    const bool fails = found != machine_.mishaps.end();
    if (fails && found->second == Mishap::flush_forgets) {
        for (const Write& write : unsynced_)
            if (machine_.random.below(4) == 0) put_torn(durable_, write);
        unsynced_.clear();
    }
    machine_.is_dead = fails && found->second == Mishap::death;
    // A process that dies in a flush may have had all of it done.
    const bool works = !fails || (machine_.is_dead && machine_.random.below(2) == 0);
    if (works && machine_.flushes) {
        for (const Write& write : unsynced_) put(durable_, write);
        unsynced_.clear();
    }
    if (fails) return failed(machine_.is_dead ? "dead" : "disk_flush_failed");
    return {};
}

void CrashDisk::lose_power() {
    for (const Write& write : unsynced_) {
        const std::uint64_t fate = machine_.random.below(3);
        if (fate == 0) put(durable_, write);
        if (fate == 1) put_torn(durable_, write);
    }
    unsynced_.clear();
    seen_ = durable_;
}

void CrashDisk::flip_bit(std::uint64_t offset) {
    seen_[offset] ^= 4;
    durable_[offset] = seen_[offset];
}

void CrashDisk::set_contents(const Bytes& contents) {
    seen_ = contents;
    durable_ = contents;
    unsynced_.clear();
}

}  // namespace drover::replicator::testing
