// The simulator's base/file.h: files in memory, with what a kill or a power cut leaves of them.
#include "base/file.h"
#include "simulations/environment.h"

#include <algorithm>

namespace drover {
namespace {

using sim::Environment;
using sim::File;
using sim::Files;

Error not_found(const std::filesystem::path& path) {
    return Error(Errc::not_found, "file_error", "open " + path.native() + ": no such file");
}

bool is_alive() {
    const sim::Scheduler& scheduler = sim::Scheduler::current();
    return scheduler.running_process() == sim::no_process ||
           scheduler.is_alive(scheduler.running_process());
}

Error dead() {
    return Error(Errc::cancelled, "file_error", "the process is dead");
}

/// Of a file that is written in place only its own sync says more.
void name_durably(File& file) {
    const bool is_known = file.now && file.durable && file.now->size() == file.durable->size();
    if (file.unsynced.empty() || !is_known) file.durable = file.now;
}

}  // namespace

Result<Bytes> read_file(const std::filesystem::path& path, std::size_t size_max) {
    TRY_VOID(Environment::current().attempt("read.file", path.native()));
    const File* file = Environment::current().files.find(path.native());
    if (file == nullptr) return not_found(path);
    if (file->now->size() > size_max)
        return Error(Errc::invalid, "file_too_large", path.native() + " is too large");
    return *file->now;
}

Result<std::string> read_text(const std::filesystem::path& path, std::size_t size_max) {
    TRY(const Bytes contents, read_file(path, size_max));
    return std::string(as_text(contents));
}

Result<> write_file_durably(const std::filesystem::path& path, ByteView contents, unsigned) {
    Environment& environment = Environment::current();
    if (!is_alive()) return dead();
    environment.step("file.before_write");
    TRY_VOID(environment.attempt("file.write", path.native()));
    environment.take_sync_time();
    if (!is_alive()) return dead();
    environment.files.at(path.native()).now = Bytes(contents.begin(), contents.end());
    // Renamed, but the directory is not synced: a power cut brings the old contents back.
    environment.step("file.renamed");
    TRY_VOID(environment.attempt("file.sync", path.native()));
    File& file = environment.files.at(path.native());
    file.durable = file.now;
    environment.step("file.written");
    return {};
}

Result<> remove_file_durably(const std::filesystem::path& path) {
    Environment& environment = Environment::current();
    if (!is_alive()) return dead();
    Files::Tree& tree = environment.files.of(path.native());
    if (!tree.contains(path.native())) return {};
    environment.step("file.before_remove");
    TRY_VOID(environment.attempt("file.write", path.native()));
    tree[path.native()].now.reset();
    environment.step("file.unlinked");
    tree.erase(path.native());
    return {};
}

Result<> make_directory_durably(const std::filesystem::path& path) {
    return Environment::current().attempt("file.write", path.native());
}

Result<> sync_directory(const std::filesystem::path& path) {
    Environment& environment = Environment::current();
    if (!is_alive()) return dead();
    TRY_VOID(environment.attempt("file.sync", path.native()));
    const std::string prefix = path.native() + "/";
    Files::Tree& tree = environment.files.of(prefix);
    for (auto file = tree.lower_bound(prefix);
         file != tree.end() && file->first.starts_with(prefix); ++file)
        if (file->first.find('/', prefix.size()) == std::string::npos) name_durably(file->second);
    return {};
}

Result<std::vector<std::filesystem::path>> list_files(const std::filesystem::path& directory) {
    const std::string prefix = directory.native() + "/";
    std::vector<std::filesystem::path> out;
    const Files::Tree& tree = Environment::current().files.of(prefix);
    const auto add = [&](const std::string& path) {
        const std::filesystem::path entry =
            prefix + path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size());
        if (out.empty() || out.back() != entry) out.push_back(entry);
    };
    for (auto file = tree.lower_bound(prefix);
         file != tree.end() && file->first.starts_with(prefix); ++file)
        if (file->second.now) add(file->first);
    return out;
}

Result<> remove_directory_durably(const std::filesystem::path& path) {
    Environment& environment = Environment::current();
    if (!is_alive()) return dead();
    TRY_VOID(environment.attempt("file.write", path.native()));
    environment.remove_tree(path.native());
    environment.step("file.unlinked");
    return {};
}

Result<AppendFile> AppendFile::open(const std::filesystem::path& path) {
    if (Environment::current().files.find(path.native()) == nullptr) return not_found(path);
    return AppendFile(Fd(), path);
}

Result<> AppendFile::append(ByteView contents) {
    Environment& environment = Environment::current();
    if (!is_alive()) return dead();
    environment.step("append.before");
    TRY_VOID(environment.attempt("file.append", path_.native()));
    environment.take_sync_time();
    if (!is_alive()) return dead();
    const auto put = [&](ByteView part) {
        put_bytes(*environment.files.at(path_.native()).now, part);
    };
    // A kill between two pages, or a power cut while it is written, leaves a torn end.
    const std::size_t half = contents.size() / 2;
    put(contents.first(half));
    environment.step("append.torn");
    put(contents.subspan(half));
    TRY_VOID(environment.attempt("file.sync", path_.native()));
    File& file = environment.files.at(path_.native());
    if (!file.durable || file.durable->size() > file.now->size()) {
        file.durable = file.now;
    } else {
        const ByteView grown(*file.now);
        put_bytes(*file.durable, grown.subspan(file.durable->size()));
    }
    environment.step("append.synced");
    return {};
}

}  // namespace drover
