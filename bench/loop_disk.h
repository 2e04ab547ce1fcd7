/// A disk for the replication benchmarks: a loop device over a sparse file. Root only.
#pragma once

#include "base/fd.h"

#include <cstdint>
#include <string>
#include <vector>

namespace drover::bench {

/// 4 KiB-aligned memory, as O_DIRECT wants it.
class PageBuffer {
  public:
    explicit PageBuffer(std::size_t bytes);
    ~PageBuffer();
    PageBuffer(const PageBuffer&) = delete;
    PageBuffer& operator=(const PageBuffer&) = delete;

    [[nodiscard]] std::uint8_t* data() { return memory_; }

    [[nodiscard]] std::size_t size() const { return bytes_; }

    /// Bytes that do not compress, the same for the same seed.
    void fill(std::uint64_t seed);

  private:
    std::uint8_t* memory_;
    std::size_t bytes_;
};

/// Detached, and its file removed, on destruction. Every failure ends the program: see fail().
class LoopDisk {
  public:
    LoopDisk(const std::string& directory, std::uint64_t size_bytes);
    ~LoopDisk();
    LoopDisk(const LoopDisk&) = delete;
    LoopDisk& operator=(const LoopDisk&) = delete;

    /// Of the device.
    [[nodiscard]] const std::string& path() const { return path_; }

    /// What is behind it: for tools that are slow on a device's page cache.
    [[nodiscard]] const std::string& file() const { return file_; }

    [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

    /// Random bytes from `offset`; multiples of 4 KiB.
    void fill(std::uint64_t offset, std::uint64_t length, std::uint64_t seed);
    /// Gives `blocks` different 4 KiB blocks, scattered over the first `below_bytes`, new content.
    void change(std::uint64_t blocks, std::uint64_t below_bytes, std::uint64_t seed);
    /// All zeroes, and no memory behind it, as when it was new.
    void blank();
    /// Of the whole disk. Reads around every cache.
    [[nodiscard]] std::uint64_t bytes_that_differ(LoopDisk& other);

  private:
    void write(std::uint64_t offset, const std::uint8_t* data, std::size_t length);
    void read(std::uint64_t offset, std::uint8_t* data, std::size_t length);

    std::string file_;
    std::string path_;
    std::uint64_t size_bytes_;
    Fd disk_;
};

}  // namespace drover::bench
