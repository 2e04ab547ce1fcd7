// Anchors: when they are made, what a crash leaves of them, and what a log must never contradict.
#include "orchestrator/anchors.h"

#include "eventlog/memory_log.h"
#include "history/anchor_file.h"
#include "tests/history/audit_lab.h"

#include <csignal>
#include <filesystem>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace {

namespace fs = std::filesystem;

using namespace drover;
using namespace drover::orchestrator;
using drover::eventlog::MemoryLog;
using drover::eventlog::Seq;
using drover::history::testing::fill;
using drover::history::testing::seed;

struct Lab {
    explicit Lab(std::uint8_t lineage = 9)
        : log(eventlog::testing::uuid(lineage)) {}

    MemoryLog log;
    eventlog::testing::TemporaryDirectory directory{eventlog::testing::fast_directory()};
    SteadyMillis now_ms = 1'000;

    [[nodiscard]] fs::path own() const { return directory.path() / "anchors.jsonl"; }

    [[nodiscard]] Moment now() const { return {now_ms * 1000, now_ms}; }

    [[nodiscard]] Result<std::unique_ptr<Anchors>> open(const fs::path& copy = {}) const {
        return Anchors::open(log, seed(), {own(), copy}, now(), {});
    }

    /// After a restore that ended lineage 9 at `head`.
    [[nodiscard]] Result<std::unique_ptr<Anchors>> open_restored(Seq head) const {
        LineageReset reset;
        reset.old_lineage = eventlog::testing::uuid(9);
        reset.old_head_seq = head;
        return Anchors::open(log, seed(), {own(), {}}, now(), {reset});
    }

    /// `count` anchors of 30 events each, a minute apart.
    void anchor_rounds(int count) {
        for (int i = 0; i < count; ++i, now_ms += 60'000) {
            fill(log, 10);
            const auto anchors = open();
            REQUIRE(anchors);
            REQUIRE((*anchors)->make_now(now()));
        }
    }

    [[nodiscard]] std::vector<eventlog::Anchor> stored() const {
        const auto file = history::read_anchor_file(own());
        REQUIRE(file);
        REQUIRE_FALSE(file->is_torn);
        return file->anchors;
    }

    [[nodiscard]] std::string text() const { return read_text(own()).value(); }

    void write(const std::string& contents) const {
        REQUIRE(write_file_durably(own(), as_bytes(contents)));
    }
};

/// Counts what is read of a log, and fails where it is told to.
class WatchedLog final : public eventlog::EventLog {
  public:
    explicit WatchedLog(MemoryLog& log)
        : log_(log) {}

    eventlog::AppendResult append(std::span<const eventlog::Append> batch, eventlog::Epoch epoch,
                                  WallMicros now_micros) override {
        return log_.append(batch, epoch, now_micros);
    }

    Result<> read(Seq from, const eventlog::RecordVisitor& visit) const override {
        if (fails_at != 0 && from >= fails_at) return Error(Errc::io, "io_failed", "a test");
        return log_.read(from, [&](const eventlog::Record& record) {
            ++events_read;
            return visit(record);
        });
    }

    Result<> read_stream(eventlog::StreamId stream, eventlog::StreamSeq from,
                         const eventlog::RecordVisitor& visit) const override {
        return log_.read_stream(stream, from, visit);
    }

    eventlog::Head head() const override { return log_.head(); }

    eventlog::StreamHead stream_head(eventlog::StreamId stream) const override {
        return log_.stream_head(stream);
    }

    Result<Hash> hash_at(Seq seq) const override { return log_.hash_at(seq); }

    Result<std::optional<eventlog::CommandAnswer>> find_answer(
        const Uuid& command_id) const override {
        return log_.find_answer(command_id);
    }

    Result<eventlog::Epoch> raise_epoch(WallMicros now_micros) override {
        return log_.raise_epoch(now_micros);
    }

    Result<> sync_head() override { return log_.sync_head(); }

    std::uint64_t free_bytes() const override { return log_.free_bytes(); }

    mutable std::uint64_t events_read = 0;
    Seq fails_at = 0;

  private:
    MemoryLog& log_;
};

/// While it lives, no file of this process grows beyond `bytes`.
class FileLimit {
  public:
    explicit FileLimit(rlim_t bytes)
        : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit limit{bytes, before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
    }

    ~FileLimit() {
        (void)::setrlimit(RLIMIT_FSIZE, &before_);
        (void)std::signal(SIGXFSZ, handler_);
    }

    FileLimit(const FileLimit&) = delete;
    FileLimit& operator=(const FileLimit&) = delete;

  private:
    void (*handler_)(int);
    rlimit before_{};
};

}  // namespace

TEST_CASE("anchors: one is made when 1,024 events wait, and after ten minutes of any") {
    Lab lab;
    const auto anchors = lab.open();
    REQUIRE(anchors);
    fill(lab.log, 341);  // 1,023 events
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().empty());
    fill(lab.log, 1);
    (*anchors)->tick(lab.now());
    REQUIRE(lab.stored().size() == 1);
    CHECK(lab.stored()[0].last_seq == 1024);
    lab.now_ms += anchor_every_ms - 1;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 1);
    lab.now_ms += 1;
    (*anchors)->tick(lab.now());
    REQUIRE(lab.stored().size() == 2);
    CHECK(lab.stored()[1].first_seq == 1025);
    CHECK(lab.stored()[1].last_seq == 1026);
    CHECK(check_anchor_link(lab.stored()[0], lab.stored()[1]));
    lab.now_ms += 10 * anchor_every_ms;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 2);  // nothing is new
}

TEST_CASE("anchors: the ten minutes begin with the first event that waits") {
    Lab lab;
    const auto anchors = lab.open();
    lab.now_ms += 3 * anchor_every_ms;
    (*anchors)->tick(lab.now());
    fill(lab.log, 1);
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().empty());
    lab.now_ms += anchor_every_ms;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 1);
}

TEST_CASE("anchors: on demand everything is covered, in pieces of 1,024, and it verifies") {
    Lab lab;
    fill(lab.log, 1'000);
    const auto anchors = lab.open();
    std::vector<std::string> handed_on;
    (*anchors)->on_made([&](const eventlog::Anchor&, const std::string& line) {
        // Durable before anybody else hears of it.
        CHECK(lab.text().find(line + "\n") != std::string::npos);
        handed_on.push_back(line);
    });
    REQUIRE((*anchors)->make_now(lab.now()));
    CHECK(handed_on.size() == 3);
    CHECK((*anchors)->anchored_seq() == 3'000);
    const auto report = eventlog::verify(lab.log, {{{"own", lab.stored()}}, {}});
    REQUIRE(report);
    CHECK(report->whole());
    CHECK(report->anchors.covered_to == 3'000);
}

TEST_CASE("anchors: a start goes on where the file ends, and cuts off a torn line") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const std::string whole = lab.text();
    lab.write(whole + whole.substr(0, 100));
    fill(lab.log, 10);
    const auto again = lab.open();
    REQUIRE(again);
    CHECK(lab.text() == whole);
    REQUIRE((*again)->make_now(lab.now()));
    REQUIRE(lab.stored().size() == 2);
    CHECK(check_anchor_link(lab.stored()[0], lab.stored()[1]));
}

TEST_CASE("anchors: a log that contradicts the last one is not served") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    Lab shorter;
    fill(shorter.log, 5);
    shorter.write(lab.text());
    CHECK(shorter.open().error().id() == "log_contradicts_anchor");
    Lab rewritten;
    fill(rewritten.log, 10, 8);
    rewritten.write(lab.text());
    CHECK(rewritten.open().error().id() == "log_contradicts_anchor");
}

TEST_CASE("anchors: another lineage is served if the log holds the restore that ended this one") {
    Lab lab;
    lab.anchor_rounds(2);
    Lab restored(8);
    fill(restored.log, 15);  // without the last 15 events
    fill(restored.log, 5, 46);
    restored.write(lab.text());
    CHECK(restored.open().error().id() == "log_contradicts_anchor");
    const auto anchors = restored.open_restored(45);
    REQUIRE(anchors);
    REQUIRE((*anchors)->make_now(restored.now()));
    REQUIRE(restored.stored().size() == 3);
    CHECK(restored.stored().back().first_seq == 1);
    CHECK(restored.open());  // from now on its own anchor is what counts

    // What both lineages have in common is what the old one's anchors say.
    Lab rewritten(8);
    fill(rewritten.log, 20, 20);
    rewritten.write(lab.text());
    CHECK(rewritten.open_restored(45).error().id() == "log_contradicts_anchor");
    Lab other(8);
    fill(other.log, 20);
    other.log = MemoryLog(eventlog::testing::uuid(8));
    other.write(lab.text());
    CHECK(other.open_restored(45).error().id() == "log_contradicts_anchor");
}

TEST_CASE("anchors: what a power failure leaves of the last append is cut off") {
    Lab lab;
    lab.anchor_rounds(2);
    const std::string before = lab.text();
    fill(lab.log, 1'000);
    REQUIRE((*lab.open())->make_now(lab.now()));  // three lines in one append
    const std::string whole = lab.text();
    std::string zeros = whole;
    zeros.replace(before.size(), 200, 200, '\0');
    std::string tail = whole;
    tail.replace(whole.size() - 200, 200, 200, '\0');
    std::string flipped = whole;
    flipped[flipped.rfind("\"epoch\":") + 8] = '9';
    for (const std::string& left : {zeros, tail, flipped, whole + "{}\n"}) {
        lab.write(left);
        const auto again = lab.open();
        REQUIRE(again);
        CHECK(whole.starts_with(lab.text()));
        CHECK(lab.text().size() >= before.size());
        CHECK(lab.text().size() < left.size());
        REQUIRE((*again)->make_now(lab.now()));
        CHECK(lab.text() == whole);
    }
}

TEST_CASE("anchors: a failed write is followed by the whole file anew, one anchor at a time") {
    Lab lab;
    lab.anchor_rounds(1);
    const std::string before = lab.text();
    const fs::path copy = lab.directory.path() / "copy";
    fill(lab.log, 2'000);
    WatchedLog watched(lab.log);
    const auto anchors = Anchors::open(watched, seed(), {lab.own(), copy}, lab.now(), {});
    REQUIRE(anchors);
    while (!(*anchors)->copy()->status().is_current) sleep_ms(1);
    const auto handed_on = std::make_shared<int>(0);
    (*anchors)->on_made([=](const eventlog::Anchor&, const std::string&) { ++*handed_on; });
    {
        const FileLimit limit(before.size() + 50);
        CHECK_FALSE((*anchors)->make_now(lab.now()));
        CHECK(lab.text().size() == before.size() + 50);  // half a line
        watched.events_read = 0;
        CHECK_FALSE((*anchors)->make_now(lab.now()));
        CHECK(watched.events_read == 1'024);
        CHECK((*anchors)->copy()->status().is_current);  // it was told nothing
    }
    CHECK((*anchors)->anchored_seq() == 30);
    CHECK((*anchors)->alarm());
    CHECK(*handed_on == 0);
    // What reading it would give is not what counts.
    lab.write("anything\n");
    REQUIRE((*anchors)->make_now(lab.now()));
    CHECK(lab.text().starts_with(before));
    CHECK(lab.stored().size() == 7);
    CHECK(*handed_on == 6);
    while (!(*anchors)->copy()->status().is_current) sleep_ms(1);
    CHECK(read_text(copy).value() == lab.text());
    CHECK(lab.open());
}

TEST_CASE("anchors: what was made before reading the log failed is not kept") {
    Lab lab;
    fill(lab.log, 1'000);
    WatchedLog watched(lab.log);
    const auto anchors = Anchors::open(watched, seed(), {lab.own(), {}}, lab.now(), {});
    REQUIRE(anchors);
    watched.fails_at = 2'000;
    CHECK_FALSE((*anchors)->make_now(lab.now()));
    CHECK((*anchors)->anchored_seq() == 0);
    watched.fails_at = 0;
    REQUIRE((*anchors)->make_now(lab.now()));
    CHECK(lab.stored().size() == 3);
    CHECK(lab.open());
}

TEST_CASE("anchors: a damaged file stops a start") {
    Lab lab;
    lab.anchor_rounds(2);
    const std::string whole = lab.text();
    lab.write("{}\n" + whole);
    CHECK(lab.open().error().id() == "anchor_file_damaged");
    lab.write(whole.substr(whole.find('\n') + 1) + whole.substr(0, whole.find('\n') + 1));
    CHECK(lab.open().error().id() == "anchor_chain_broken");
    std::string changed = whole;
    changed[changed.find("\"epoch\":") + 8] = '9';
    lab.write(changed);
    CHECK(lab.open().error().id() == "anchor_damaged");

    Lab longer;
    fill(longer.log, 100);
    std::string lines = "damaged\n";  // all that follows could be one append, but for its length
    for (eventlog::Anchor& anchor : history::testing::anchors_of(longer.log, 1)) {
        anchor.wall_micros = 1;
        sign_anchor(anchor, seed());
        lines += history::anchor_line(anchor) + "\n";
    }
    longer.write(lines);
    CHECK(longer.open().error().id() == "anchor_file_damaged");
}

TEST_CASE("anchor copy: it is caught up, and never touched where it differs") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const fs::path away = lab.directory.path() / "away";
    const fs::path copy = away / "anchors.jsonl";
    const auto bring = [&] { return bring_up_to_date(lab.own(), copy, lab.text().size()); };
    CHECK(bring().error().code() == Errc::not_found);
    fs::create_directory(away);
    REQUIRE(bring());
    CHECK(read_text(copy).value() == lab.text());

    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const std::string torn = lab.text().substr(0, lab.text().size() - 30);
    REQUIRE(write_file_durably(copy, as_bytes(torn)));
    REQUIRE(bring());
    CHECK(read_text(copy).value() == lab.text());

    std::string changed = lab.text();
    changed[20] ^= 1;
    for (const std::string& other : {changed, lab.text() + "more", std::string("x")}) {
        REQUIRE(write_file_durably(copy, as_bytes(other)));
        CHECK(bring().error().id() == "anchor_copy_differs");
        CHECK(read_text(copy).value() == other);
    }
}

TEST_CASE("anchor copy: files of many pieces are compared and continued piece by piece") {
    Lab lab;
    std::string text;
    for (int i = 0; i < 40'000; ++i) text += std::to_string(i) + "\n";
    lab.write(text);
    const fs::path copy = lab.directory.path() / "copy";
    for (const std::size_t there : {std::size_t{0}, std::size_t{65'536}, std::size_t{65'537},
                                    std::size_t{131'071}, text.size()}) {
        REQUIRE(write_file_durably(copy, as_bytes(text.substr(0, there))));
        REQUIRE(bring_up_to_date(lab.own(), copy, text.size()));
        CHECK(read_text(copy).value() == text);
    }
}

TEST_CASE("anchor copy: what is not durable yet is not copied") {
    Lab lab;
    std::string text;
    for (int i = 0; i < 20'000; ++i) text += std::to_string(i) + "\n";
    lab.write(text + "half a li");
    const fs::path copy = lab.directory.path() / "copy";
    for (const std::size_t durable : {std::size_t{10}, std::size_t{65'536}, text.size()}) {
        REQUIRE(bring_up_to_date(lab.own(), copy, durable));
        CHECK(read_text(copy).value() == text.substr(0, durable));
    }
}

TEST_CASE("anchor copy: equal bytes that cannot be made durable are no copy") {
    Lab lab;
    const fs::path copy = "/proc/self/comm";  // cannot be synced
    const std::string name = read_text(copy).value();
    lab.write(name);
    CHECK_FALSE(bring_up_to_date(lab.own(), copy, name.size()));
}

TEST_CASE("anchor copy: a second path that hangs is an alarm, and is left behind at the end") {
    Lab lab;
    lab.write("a line\n");
    const fs::path pipe = lab.directory.path() / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    auto copy = std::make_unique<AnchorCopy>(lab.own(), pipe, 7, AnchorCopyLimits{5, 5});
    while (!copy->status().alarm) sleep_ms(1);
    CHECK(copy->status().alarm->id() == "anchor_copy_hangs");
    copy.reset();
    // Lets the thread see its end.
    const Fd writer(::open(pipe.c_str(), O_RDWR | O_CLOEXEC));
    CHECK(write_all(writer.get(), Bytes(64U << 10), pipe.native()));
}

TEST_CASE("anchor copy: a second path that is away is an alarm and stops nothing") {
    Lab lab;
    fill(lab.log, 10);
    const fs::path away = lab.directory.path() / "away";
    const auto anchors = lab.open(away / "anchors.jsonl");
    REQUIRE(anchors);
    REQUIRE((*anchors)->make_now(lab.now()));
    const AnchorCopy& copy = *(*anchors)->copy();
    while (!copy.status().alarm) sleep_ms(1);
    CHECK_FALSE(copy.status().is_current);
    CHECK((*anchors)->anchored_seq() == 30);
    fs::create_directory(away);
    fill(lab.log, 1);
    REQUIRE((*anchors)->make_now(lab.now()));
    while (!copy.status().is_current) sleep_ms(1);
    CHECK_FALSE(copy.status().alarm);
    CHECK(read_text(away / "anchors.jsonl").value() == lab.text());
}
