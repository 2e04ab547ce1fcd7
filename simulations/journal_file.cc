// The simulator's replicator/journal_file.h and agent/journal_place.h: a redo journal in a file of
// a simulated machine, with what a kill or a power cut leaves of it. Steps: "journal.written",
// "journal.flushed". Attempts, on the file's path: "journal.make", "journal.read", "journal.write",
// "journal.flush".
#include "replicator/journal_file.h"

#include "agent/journal_place.h"
#include "base/assert.h"
#include "replicator/device_range.h"
#include "simulations/disk.h"

#include <algorithm>

namespace drover {
namespace {

using replicator::block_bytes;
using replicator::BlockDevice;
using sim::Environment;
using sim::File;

Error dead() {
    return Error(Errc::cancelled, "file_error", "the process is dead");
}

class SimulatedJournal final : public BlockDevice {
  public:
    SimulatedJournal(const std::filesystem::path& path, std::uint64_t bytes) {
        facts_.path = path.native();
        facts_.size_bytes = bytes;
    }

    [[nodiscard]] const replicator::DeviceFacts& facts() const override { return facts_; }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        replicator::assert_range(facts_, offset, out.size());
        TRY(const File* const file, begin("journal.read"));
        const ByteView all(*file->now);
        std::ranges::copy(all.subspan(offset, out.size()), out.begin());
        return {};
    }

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        replicator::assert_range(facts_, offset, data.size());
        DROVER_ASSERT(offset % block_bytes == 0 && data.size() % block_bytes == 0);
        TRY(File* const file, begin("journal.write"));
        std::ranges::copy(data, file->now->begin() + static_cast<std::ptrdiff_t>(offset));
        const std::size_t end = (offset + data.size()) / block_bytes;
        for (std::size_t block = offset / block_bytes; block < end; ++block)
            file->unsynced[block] = true;
        Environment::current().step("journal.written");
        return {};
    }

    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
        return write(offset, Bytes(length));
    }

    [[nodiscard]] Result<> flush() override {
        auto begun = begin("journal.flush");
        if (!begun) {
            // The kernel gives up what it could not write. Until a power cut it can be read.
            File* const file = Environment::current().files.find(facts_.path);
            if (sim::caller_is_alive() && file != nullptr)
                std::fill(file->unsynced.begin(), file->unsynced.end(), false);
            return begun.error();
        }
        Environment::current().take_sync_time();
        TRY(File* const file, present());
        // While its name is not durable, neither is what it holds.
        const bool is_kept = file->durable && file->durable->size() == file->now->size();
        for (std::size_t block = 0; block < file->unsynced.size() && is_kept; ++block) {
            if (!file->unsynced[block]) continue;
            file->unsynced[block] = false;
            const auto at = static_cast<std::ptrdiff_t>(block * block_bytes);
            std::copy_n(file->now->begin() + at, block_bytes, file->durable->begin() + at);
        }
        Environment::current().step("journal.flushed");
        return {};
    }

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override { return facts_.size_bytes; }

  private:
    [[nodiscard]] Result<File*> present() const {
        if (!sim::caller_is_alive()) return dead();
        File* const file = Environment::current().files.find(facts_.path);
        if (file != nullptr && file->now->size() == facts_.size_bytes) return file;
        return Error(Errc::io, "file_error", facts_.path + " is gone");
    }

    [[nodiscard]] Result<File*> begin(std::string_view operation) const {
        TRY(File* const file, present());
        TRY_VOID(Environment::current().attempt(operation, facts_.path));
        return file;
    }

    replicator::DeviceFacts facts_;
};

}  // namespace

namespace replicator {

Result<> check_journal_directory(const std::filesystem::path&) {
    return {};
}

Result<std::unique_ptr<BlockDevice>> make_journal_file(const std::filesystem::path& path,
                                                       std::uint64_t bytes) {
    Environment& environment = Environment::current();
    if (!sim::caller_is_alive()) return dead();
    TRY_VOID(environment.attempt("journal.make", path.native()));
    environment.take_sync_time();
    if (!sim::caller_is_alive()) return dead();
    File& file = environment.files.at(path.native());
    file.now = Bytes(bytes);
    file.unsynced.assign(bytes / block_bytes, false);
    // Renamed, but the directory is not synced: a power cut brings the old file back.
    environment.step("file.renamed");
    File& synced = environment.files.at(path.native());
    synced.durable = synced.now;
    return open_journal_file(path);
}

Result<std::unique_ptr<BlockDevice>> open_journal_file(const std::filesystem::path& path) {
    const File* const file = Environment::current().files.find(path.native());
    if (file == nullptr)
        return Error(Errc::not_found, "file_error", "open " + path.native() + ": no such file");
    return std::make_unique<SimulatedJournal>(path, file->now->size());
}

}  // namespace replicator

namespace agent {

/// How large it is, the driver knows.
Result<std::optional<replicator::JournalPlace>> journal_place(const Config& config,
                                                              const std::vector<std::string>&) {
    if (config.journal_directory.empty()) return std::optional<replicator::JournalPlace>();
    replicator::JournalPlace place;
    place.directory = config.journal_directory;
    return std::optional(place);
}

}  // namespace agent
}  // namespace drover
