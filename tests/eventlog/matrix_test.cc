/// Every byte of every file of a log flipped, and every file cut at every length: it opens with
/// everything or refuses with a named reason. In ctest at the boundaries of records and at every
/// 64th byte, from an offset that changes with the commit; at every byte when soaking.
#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/budget.h"
#include "tests/eventlog/child.h"
#include "tests/eventlog/log_testing.h"
#include "tests/eventlog/promise.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <string_view>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr WallMicros noon = 1'700'000'000'000'000;
constexpr Seq events_count = 100;
constexpr std::uint64_t stride = 64;
/// Of files that a start does not read: RocksDB's list of its options, and its name for itself.
constexpr std::uint64_t stride_unread = 2048;
constexpr std::uint64_t cases_floor = 2000;
constexpr auto time_in_ci = std::chrono::seconds(60);
constexpr int workers = 2;

/// 0 to 63, from the commit that is being tested; 0 where nobody knows it.
std::uint64_t offset_of_this_commit() {
    if (const auto given = number_from_environment("DROVER_DAMAGE_OFFSET")) return *given % stride;
    std::array<char, 5> digits{};
    FILE* const git = ::popen("git -C '" SOURCE_DIRECTORY "' rev-parse HEAD 2>/dev/null", "r");
    if (git == nullptr) return 0;
    const std::size_t got = std::fread(digits.data(), 1, digits.size() - 1, git);
    ::pclose(git);
    return got == 0 ? 0 : std::strtoull(digits.data(), nullptr, 16) % stride;
}

/// 100 small events, the head file synced after the last.
void build(const fs::path& directory) {
    REQUIRE(create_rocksdb_log(directory, uuid(1)));
    auto log = open_rocksdb_log(directory, OpenOptions{.ballast_bytes = 0});
    REQUIRE(log);
    REQUIRE((*log)->raise_epoch(noon));
    for (Seq seq = 1; seq <= events_count; ++seq) {
        Append append = append_to(job(static_cast<std::uint8_t>(seq % 3)), 0);
        append.expected_stream_seq = (*log)->stream_head(append.stream).seq;
        append.answer = CommandAnswer{uuid(static_cast<std::uint8_t>(seq)), digest(1), {9}};
        REQUIRE((*log)->append(std::span(&append, 1), 1, noon).outcome == AppendOutcome::ok);
    }
    REQUIRE((*log)->sync_head());
}

/// Where records of RocksDB's log format end, in write-ahead logs and manifests alike.
std::set<std::uint64_t> record_ends(const fs::path& file) {
    constexpr std::size_t block = 32768;
    constexpr std::size_t piece_header = 7;
    const auto bytes = read_file(file);
    REQUIRE(bytes);
    std::set<std::uint64_t> ends;
    for (std::size_t at = 0; at + piece_header <= bytes->size();) {
        if (block - at % block < piece_header) {
            at += block - at % block;
            continue;
        }
        at += piece_header + get_u16(*bytes, at + 4);
        ends.insert(at);
    }
    return ends;
}

/// The positions of one file that are tried.
std::set<std::uint64_t> positions(const fs::path& file, std::uint64_t offset) {
    const std::uint64_t size = fs::file_size(file);
    const std::string name = file.filename();
    const bool unread = name.starts_with("OPTIONS") || name == "IDENTITY";
    const std::uint64_t step = soaking() ? 1 : unread ? stride_unread : stride;
    std::set<std::uint64_t> out;
    for (std::uint64_t at = offset % step; at < size; at += step) out.insert(at);
    if (file.extension() == ".log" || name.starts_with("MANIFEST"))
        for (const std::uint64_t end : record_ends(file))
            for (const std::uint64_t at : {end - 1, end, end + 1})
                if (at < size) out.insert(at);
    if (size > 0) out.insert({0, size - 1});
    return out;
}

struct Case {
    fs::path pristine;
    fs::path file;  ///< relative to it
    bool cuts = false;
    std::uint64_t at = 0;
};

std::vector<Case> all_cases(const fs::path& pristine, std::uint64_t offset) {
    std::vector<Case> cases;
    for (const auto& entry : fs::recursive_directory_iterator(pristine)) {
        if (!entry.is_regular_file()) continue;
        const auto file = entry.path().lexically_relative(pristine);
        for (const bool cuts : {false, true})
            for (const std::uint64_t at : positions(entry.path(), offset))
                cases.push_back({pristine, file, cuts, at});
    }
    return cases;
}

struct Verdicts {
    std::uint64_t done = 0;
    std::uint64_t opened = 0;
    std::uint64_t refused = 0;
    bool wrong = false;
    Note at{};
    std::array<std::array<char, 32>, 24> ids{};  ///< those of the refusals
};

void note_id(Verdicts& verdicts, const std::string& id) {
    for (auto& known : verdicts.ids) {
        if (std::string_view(known.data()) == id) return;
        if (known[0] != 0) continue;
        std::copy_n(id.begin(), std::min(id.size(), known.size() - 1), known.begin());
        return;
    }
}

/// A copy with one byte flipped or its end cut off. Tables are only linked: a start replaces them.
void damage(const Case& damaged, const fs::path& copy) {
    fs::remove_all(copy);
    fs::create_directories(copy / "rocksdb");
    for (const auto& entry : fs::recursive_directory_iterator(damaged.pristine)) {
        if (!entry.is_regular_file()) continue;
        const auto file = entry.path().lexically_relative(damaged.pristine);
        if (file != damaged.file && file.extension() == ".sst")
            fs::create_hard_link(entry.path(), copy / file);
        else
            fs::copy_file(entry.path(), copy / file);
    }
    if (damaged.cuts) {
        fs::resize_file(copy / damaged.file, damaged.at);
        return;
    }
    auto contents = read_file(copy / damaged.file).value();
    contents[damaged.at] ^= static_cast<std::uint8_t>(1U << (damaged.at % 8));
    const Fd fd(::open((copy / damaged.file).c_str(), O_WRONLY | O_TRUNC));
    DROVER_ASSERT(write_all(fd.get(), contents, "copy").has_value());
}

/// "" or what is wrong with the outcome.
std::string judge(const fs::path& copy, const std::vector<Record>& events, Verdicts& verdicts) {
    const auto log = open_rocksdb_log(copy, OpenOptions{.ballast_bytes = 0});
    if (!log) {
        ++verdicts.refused;
        note_id(verdicts, log.error().id());
        return log.error().id().empty() ? "refused without an id" : "";
    }
    ++verdicts.opened;
    std::size_t read = 0;
    const auto all = (*log)->read(
        1, [&](const Record& record) { return read < events.size() && record == events[read++]; });
    if (!all) return "opened, and cannot be read: " + all.error().text();
    if (read != events_count || (*log)->head().seq != events_count)
        return "opened with " + std::to_string(read) + " events";
    return "";
}

TEST_CASE("matrix: a log with any byte flipped or any file cut opens whole or refuses by name",
          "[damage]") {
    log::set_level(log::Level::error);
    const std::uint64_t offset = offset_of_this_commit();
    const TemporaryDirectory in_wal(fast_directory());
    const TemporaryDirectory in_tables(fast_directory());
    const TemporaryDirectory work(fast_directory());
    // In children, because RocksDB's threads do not survive a fork.
    const auto built = in_child(work.path() / "messages", [&] {
        build(in_wal.path());
        build(in_tables.path());
        return open_rocksdb_log(in_tables.path(), OpenOptions{.ballast_bytes = 0}) ? 0 : 1;
    });
    REQUIRE(built.status == 0);

    std::vector<Case> cases = all_cases(in_wal.path(), offset);
    for (auto& more : all_cases(in_tables.path(), offset)) cases.push_back(std::move(more));
    const auto deadline = Budget::Clock::now() +
                          (soaking() ? std::chrono::seconds(std::chrono::hours(24)) : time_in_ci);
    std::array<Shared<Verdicts>, workers> verdicts;
    std::array<pid_t, workers> pids{};
    for (int worker = 0; worker < workers; ++worker) {
        const auto own = work.path() / std::to_string(worker);
        Verdicts& mine = *verdicts[static_cast<std::size_t>(worker)];
        pids[static_cast<std::size_t>(worker)] = start_child(own.native() + ".messages", [&] {
            ::alarm(0);  // the deadline ends it
            fs::copy(in_wal.path(), own, fs::copy_options::recursive);
            const auto pristine = open_rocksdb_log(own, OpenOptions{.ballast_bytes = 0});
            if (!pristine) return 1;
            const std::vector<Record> all = all_events(**pristine);
            for (std::size_t i = static_cast<std::size_t>(worker);
                 i < cases.size() && Budget::Clock::now() < deadline; i += workers) {
                const Case& next = cases[i];
                const std::string name = next.file.native() +
                                         (next.cuts ? " cut at " : " flipped at ") +
                                         std::to_string(next.at);
                write_note(mine.at, name);
                damage(next, own.native() + ".copy");
                const std::string wrong = judge(own.native() + ".copy", all, mine);
                ++mine.done;
                if (wrong.empty()) continue;
                mine.wrong = true;
                write_note(mine.at, name + ": " + wrong);
                return 2;
            }
            return 0;
        });
    }
    std::uint64_t done = 0;
    std::uint64_t opened = 0;
    std::set<std::string> ids;
    for (std::size_t worker = 0; worker < workers; ++worker) {
        const Ended ended = wait_for(pids[worker]);
        INFO("signal " << ended.signal << " at " << verdicts[worker]->at.data());
        CHECK(ended.status == 0);
        done += verdicts[worker]->done;
        opened += verdicts[worker]->opened;
        for (const auto& id : verdicts[worker]->ids)
            if (id[0] != 0) ids.insert(id.data());
    }
    const std::uint64_t floor = under_sanitizer ? cases_floor / sanitizer_divisor : cases_floor;
    std::cout << done << " of " << cases.size() << " damages (at least " << floor << "), offset "
              << offset << " of " << stride << ": " << opened << " opened whole, " << done - opened
              << " refused:";
    for (const auto& id : ids) std::cout << " " << id;
    std::cout << "\n";
    CHECK(done >= floor);
    CHECK((!soaking() || done == cases.size()));
}

}  // namespace
}  // namespace drover::eventlog
