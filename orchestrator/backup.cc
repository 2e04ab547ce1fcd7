#include "orchestrator/backup.h"

#include "base/file.h"
#include "base/sha256.h"
#include "eventlog/audit.h"
#include "eventlog/copy.h"
#include "history/anchor_file.h"
#include "history/time_text.h"
#include "orchestrator/core.h"
#include "orchestrator/json_reader.h"
#include "orchestrator/older_copy.h"
#include "orchestrator/setup.h"

#include <algorithm>
#include <fstream>
#include <map>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace drover::orchestrator {

namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* manifest_name = "manifest.json";
constexpr std::uint64_t manifest_format = 1;
constexpr std::size_t manifest_bytes_max = 64U << 20;
constexpr std::size_t key_file_bytes_max = 64U << 10;

Error manifest_damaged(const fs::path& backup, const std::string& why) {
    return Error(Errc::corrupt, "manifest_damaged", (backup / manifest_name).string() + ": " + why,
                 "the backup, as it is", "use another backup");
}

Error differs(const std::string& what) {
    return Error(Errc::corrupt, "backup_differs", what, "the backup, as it is",
                 "use another backup; this one is not what was written");
}

/// Files of any size are hashed in pieces.
Result<BackupFile> describe(const fs::path& root, const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    Sha256 sha;
    BackupFile file{fs::relative(path, root).generic_string(), 0, {}};
    std::vector<char> piece(1U << 20);
    while (in) {
        in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
        const auto count = static_cast<std::size_t>(in.gcount());
        sha.update(as_bytes(std::string_view(piece.data(), count)));
        file.bytes += count;
    }
    if (!in.eof()) return Error(Errc::io, "file_error", "cannot read " + path.string());
    file.sha256 = sha.finish();
    return file;
}

Result<std::vector<BackupFile>> describe_all(const fs::path& root) {
    std::vector<fs::path> paths;
    std::error_code failure;
    fs::recursive_directory_iterator at(root, failure);
    for (; !failure && at != fs::recursive_directory_iterator(); at.increment(failure)) {
        if (at->is_directory()) continue;
        if (at->path() == root / manifest_name) continue;
        if (!at->is_regular_file() || at->is_symlink())
            return differs(at->path().string() + " is no regular file");
        paths.push_back(at->path());
    }
    if (failure) return errno_error(failure.value(), "list", root.string());
    std::sort(paths.begin(), paths.end());
    std::vector<BackupFile> files;
    for (const fs::path& path : paths) {
        TRY(auto file, describe(root, path));
        files.push_back(std::move(file));
    }
    return files;
}

std::string text_of(const Manifest& manifest) {
    json::array files;
    for (const BackupFile& file : manifest.files)
        files.push_back(
            {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256.hex()}});
    const json::object out{
        {"format", manifest_format},     {"made_at", history::rfc3339(manifest.made_micros)},
        {"software", manifest.software}, {"lineage", uuid_text(manifest.head.lineage)},
        {"seq", manifest.head.seq},      {"hash", manifest.head.hash.hex()},
        {"epoch", manifest.head.epoch},  {"files", std::move(files)}};
    return json::serialize(out) + "\n";
}

Result<Manifest> read_manifest(const fs::path& backup) {
    auto text = read_text(backup / manifest_name, manifest_bytes_max);
    if (!text && text.error().code() == Errc::not_found)
        return Error(Errc::not_found, "manifest_missing",
                     backup.string() + " holds no " + manifest_name, "nothing was changed",
                     "name a directory that droverd backup wrote to its end");
    if (!text) return text.error();
    auto parsed = JsonReader::parse(*text);
    if (!parsed) return manifest_damaged(backup, parsed.error().detail());
    JsonReader& in = *parsed;
    Manifest manifest;
    if (in.number("format", INT64_MAX).value_or(0) != manifest_format)
        return Error(Errc::unsupported, "manifest_unsupported",
                     "the backup has another format than this droverd knows", "nothing was changed",
                     "use the droverd that wrote it, or a newer one");
    manifest.made_micros = in.time("made_at").value_or(0);
    manifest.software = in.text("software").value_or("");
    const auto lineage = uuid_from_text(in.required_text("lineage"));
    const auto hash = Hash::from_hex_text(in.required_text("hash"));
    if (!lineage || !hash) return manifest_damaged(backup, "lineage or hash is none");
    manifest.head.lineage = *lineage;
    manifest.head.hash = *hash;
    manifest.head.seq = in.number("seq", INT64_MAX).value_or(0);
    manifest.head.epoch = static_cast<eventlog::Epoch>(in.number("epoch", UINT32_MAX).value_or(0));
    for (JsonReader& entry : in.objects("files")) {
        const auto sha256 = Hash::from_hex_text(entry.required_text("sha256"));
        if (!sha256) return manifest_damaged(backup, "a SHA-256 is none");
        manifest.files.push_back(
            {entry.required_text("path"), entry.number("bytes", INT64_MAX).value_or(0), *sha256});
    }
    if (auto read = in.finish(); !read) return manifest_damaged(backup, read.error().detail());
    return manifest;
}

Result<> check_files(const Manifest& manifest, const std::vector<BackupFile>& found) {
    std::map<std::string, const BackupFile*> listed;
    for (const BackupFile& file : manifest.files) listed[file.path] = &file;
    for (const BackupFile& file : found) {
        const auto known = listed.find(file.path);
        if (known == listed.end()) return differs(file.path + " is not in the manifest");
        if (!(*known->second == file)) return differs(file.path + " is not as it was written");
        listed.erase(known);
    }
    if (!listed.empty()) return differs(listed.begin()->first + " is missing");
    return {};
}

Result<> check_log(const fs::path& backup, const eventlog::Head& head) {
    TRY(const auto report, eventlog::verify_log_directory(log_directory(backup)));
    if (!report.whole()) {
        const eventlog::Finding& first = report.findings.front();
        return Error(Errc::corrupt, first.id, first.detail, "the backup, as it is",
                     "use another backup");
    }
    const bool is_same = report.lineage == head.lineage && report.last_seq == head.seq &&
                         report.head_hash == head.hash && report.epoch == head.epoch;
    if (!is_same) return differs("the log is not the one that the manifest describes");
    return {};
}

Result<> copy_keys(const fs::path& state, const fs::path& to) {
    for (const std::string& name : key_files()) {
        auto copied = copy_state_file(state, to, name);
        if (!copied && copied.error().code() == Errc::not_found)
            return Error(Errc::not_found, "state_missing", state.string() + " has no " + name,
                         "nothing was changed", "name the directory that droverd init made");
        TRY_VOID(copied);
    }
    for (const std::string& name : optional_files()) {
        auto copied = copy_state_file(state, to, name);
        if (!copied && copied.error().code() != Errc::not_found) return copied;
    }
    return {};
}

Result<> refuse_used(const fs::path& to) {
    std::error_code failure;
    const bool exists = fs::exists(to, failure);
    if (!failure && (!exists || fs::is_empty(to, failure)) && !failure) return {};
    return Error(Errc::conflict, "backup_not_empty", to.string() + " is not an empty directory",
                 "nothing in it was changed", "name a directory that does not exist yet");
}

}  // namespace

Result<> copy_state_file(const fs::path& from, const fs::path& to, const std::string& name) {
    const bool is_anchors = name == "anchors.jsonl";
    TRY(const Bytes bytes,
        read_file(from / name, is_anchors ? history::anchor_file_bytes_max : key_file_bytes_max));
    const bool is_public = name.ends_with(".crt") || name.ends_with(".pub");
    return write_file_durably(to / name, bytes, is_public ? 0644 : 0600);
}

const std::vector<std::string>& key_files() {
    static const std::vector<std::string> names{"authority.key", "authority.crt", "server.key",
                                                "server.crt",    "ticket.key",    "ticket.pub",
                                                "tokens.key",    "api-token.hash"};
    return names;
}

const std::vector<std::string>& optional_files() {
    static const std::vector<std::string> names{"anchor.key", "anchor.pub", "anchors.jsonl",
                                                "recovery.pub"};
    return names;
}

fs::path plain_path(const fs::path& given) {
    const fs::path path = fs::absolute(given).lexically_normal();
    return path.has_filename() ? path : path.parent_path();
}

Result<Manifest> make_backup(const fs::path& state, const fs::path& given, WallMicros now) {
    const fs::path to = plain_path(given);
    TRY_VOID(refuse_used(to));
    TRY(const auto known, load_older_copy(state));
    if (known.is_known)
        return Error(Errc::conflict, known.shown->id(),
                     "a backup of an older copy would be one, too: " + known.shown->detail(),
                     "nothing was changed", known.shown->next());
    // Without a manifest it is no backup; and it gets its name only when all of it is durable.
    const fs::path unfinished = to.string() + ".unfinished";
    TRY_VOID(remove_directory_durably(unfinished));
    TRY_VOID(make_directory_durably(unfinished));
    TRY_VOID(copy_keys(state, unfinished));
    Manifest manifest;
    manifest.made_micros = now;
    manifest.software = software_version;
    TRY(manifest.head, eventlog::copy_log(log_directory(state), log_directory(unfinished)));
    TRY(manifest.files, describe_all(unfinished));
    TRY_VOID(write_file_durably(unfinished / manifest_name, as_bytes(text_of(manifest)), 0600));
    TRY_VOID(check_backup(unfinished));
    std::error_code failure;
    fs::remove(to, failure);  // an empty directory that was made for us
    if (!failure) fs::rename(unfinished, to, failure);
    if (failure) return errno_error(failure.value(), "rename", unfinished.string());
    TRY_VOID(sync_directory(to.parent_path()));
    return manifest;
}

Result<Manifest> check_backup(const fs::path& backup) {
    TRY(auto manifest, read_manifest(backup));
    TRY(const auto found, describe_all(backup));
    TRY_VOID(check_files(manifest, found));
    TRY_VOID(check_log(backup, manifest.head));
    return manifest;
}

}  // namespace drover::orchestrator
