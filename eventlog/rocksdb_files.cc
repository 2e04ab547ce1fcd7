#include "eventlog/rocksdb_files.h"

#include <memory>
#include <string_view>

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

namespace drover::eventlog {
namespace {

constexpr std::size_t grow_bytes = std::size_t{1} << 20;

/// RocksDB's own choice is as much as the memory tables hold, and a reader walks through all of it.
class GrownFile final : public rocksdb::FSWritableFileOwnerWrapper {
  public:
    explicit GrownFile(std::unique_ptr<rocksdb::FSWritableFile>&& file)
        : FSWritableFileOwnerWrapper(std::move(file)) {}

    void SetPreallocationBlockSize(std::size_t) override {
        FSWritableFileOwnerWrapper::SetPreallocationBlockSize(grow_bytes);
    }
};

class GrownWals final : public rocksdb::FileSystemWrapper {
  public:
    using FileSystemWrapper::FileSystemWrapper;

    [[nodiscard]] const char* Name() const override { return "drover"; }

    rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* context) override {
        if (!std::string_view(path).ends_with(".log"))
            return FileSystemWrapper::NewWritableFile(path, options, file, context);
        rocksdb::FileOptions grown = options;
        grown.fallocate_with_keep_size = false;
        std::unique_ptr<rocksdb::FSWritableFile> made;
        auto status = FileSystemWrapper::NewWritableFile(path, grown, &made, context);
        if (status.ok()) *file = std::make_unique<GrownFile>(std::move(made));
        return status;
    }
};

}  // namespace

rocksdb::Env* env_with_grown_wals() {
    static rocksdb::Env* const env =
        rocksdb::NewCompositeEnv(std::make_shared<GrownWals>(rocksdb::FileSystem::Default()))
            .release();
    return env;
}

}  // namespace drover::eventlog
