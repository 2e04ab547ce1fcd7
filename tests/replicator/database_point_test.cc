// Databases under load on a source's disk, a target with a redo journal, and every point that it
// keeps opened by the databases' own crash recovery: committed transactions without a hole,
// nothing half, and in order with what was written to a second disk of the job. Root and block
// tracepoints only. DROVER_POINTS: how many points (scripts/soak points).
#include "base/mutation.h"
#include "replicator/digest.h"
#include "replicator/ebpf_tracker.h"
#include "replicator/peer_codec.h"
#include "tests/replicator/filesystem_bench.h"
#include "tests/replicator/ledger.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <cstdlib>
#include <map>
#include <thread>

#include <catch2/catch.hpp>

#include <sys/mount.h>
#include <unistd.h>

namespace drover {

namespace {
std::atomic<bool> any_pass_is_point = false;
}  // namespace

/// Of source_pass.cc, which this program compiles again.
bool is_mutant_on(std::string_view name) {
    return any_pass_is_point && name == "pass_is_point";
}

namespace replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;
using testing::TemporaryDirectory;
using testing::within;

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t data_bytes = 24 * mib;
constexpr std::uint64_t order_bytes = 8 * mib;
constexpr std::size_t complaints_shown = 8;
constexpr std::uint64_t filesystem_check_every = 16;
/// On a busy machine quiet moments are rare.
constexpr std::int64_t time_of_a_point_ms_max = 500;

std::uint64_t points_wanted() {
    const char* wanted = std::getenv("DROVER_POINTS");
    return wanted == nullptr ? 150 : std::strtoull(wanted, nullptr, 10);
}

class Mounted {
  public:
    explicit Mounted(const LoopDisk& disk)
        : is_mounted_(::mount(disk.facts().path.c_str(), place_.path().c_str(), "ext4", 0, "") ==
                      0) {}

    ~Mounted() {
        if (is_mounted_ && ::umount(place_.path().c_str()) != 0) std::abort();
    }

    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;

    [[nodiscard]] bool is_mounted() const { return is_mounted_; }

    [[nodiscard]] const std::filesystem::path& path() const { return place_.path(); }

  private:
    TemporaryDirectory place_;
    bool is_mounted_;
};

bool overwrite(const LoopDisk& disk, ByteView contents) {
    DirectBuffer buffer(mib);
    const Fd fd = disk.open();
    for (std::size_t at = 0; at < contents.size(); at += mib) {
        std::ranges::copy(contents.subspan(at, mib), buffer.bytes().begin());
        if (::pwrite(fd.get(), buffer.bytes().data(), mib, static_cast<off_t>(at)) !=
            static_cast<ssize_t>(mib))
            return false;
    }
    return true;
}

/// The source's control link: nothing is sent after a COMMIT until what it made was looked at.
class CommitLink final : public wire::Link {
  public:
    using Look = std::function<void(const Commit&)>;

    CommitLink(std::unique_ptr<wire::Link> link, Look look)
        : link_(std::move(link)),
          look_(std::move(look)) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        const auto message = decode_source_message(head);
        const auto* commit = message ? std::get_if<Commit>(&*message) : nullptr;
        TRY_VOID(link_->send(head, body));
        if (commit != nullptr) look_(*commit);
        return {};
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        return link_->receive(timeout_ms);
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    std::unique_ptr<wire::Link> link_;
    Look look_;
};

/// Two disks of one job, the databases on the first, and what their points were found to be.
class PointStudy {
  public:
    /// Null, with a warning, where the host cannot do it.
    static std::unique_ptr<PointStudy> make();
    ~PointStudy();
    PointStudy(const PointStudy&) = delete;
    PointStudy& operator=(const PointStudy&) = delete;

    /// Writers write until so many points were looked at, or enough is known to be wrong.
    void run(std::uint64_t points, std::size_t wrong_max);
    /// Whether the way back leads to the same disks.
    void check_the_way_back();
    void tell() const;

    Wrong wrong;
    std::uint64_t points = 0;
    std::uint64_t points_with_news = 0;

  private:
    PointStudy() = default;

    [[nodiscard]] bool begin(std::string& why);
    void look_at(const Commit& commit);
    void recover(const Commit& commit);
    void check_acknowledged(const Lasts& lasts, WallMicros taken);
    [[nodiscard]] std::array<Digest, 2> target_digests() const;

    Lab lab_{{data_bytes, order_bytes}, false};
    TemporaryDirectory journals_;
    std::unique_ptr<LoopDisk> data_;
    std::unique_ptr<LoopDisk> order_;
    std::unique_ptr<LoopDisk> recovered_;
    std::unique_ptr<Mounted> mounted_;
    std::array<Acknowledgements, ledger_writers> acknowledged_;
    std::map<std::uint64_t, std::array<Digest, 2>> seen_;  ///< by batch
    Lasts lasts_{};
    std::uint64_t passes_ = 0;  ///< that were no points
    std::atomic<bool> looks_ = false;
    std::atomic<bool> has_enough_ = false;
    std::uint64_t points_max_ = 0;
    std::size_t wrong_max_ = 0;
};

std::unique_ptr<PointStudy> PointStudy::make() {
    std::unique_ptr<PointStudy> study(new PointStudy);
    std::string why;
    if (study->begin(why)) return study;
    WARN("skipped: " << why);
    return nullptr;
}

bool PointStudy::begin(std::string& why) {
    why = "not root";
    if (::geteuid() != 0) return false;
    const std::string directory = roomy_directory(data_bytes * 8);
    data_ = LoopDisk::make(data_bytes, why, directory);
    order_ = LoopDisk::make(order_bytes, why, directory);
    recovered_ = LoopDisk::make(data_bytes, why, directory);
    if (!data_ || !order_ || !recovered_) return false;
    if (const auto able = ebpf_can_track(data_->facts()); !able) {
        why = able.error().text();
        return false;
    }
    why = "no ext4";
    if (!shell("mkfs.ext4 -q -F -b 4096 -J size=4 " + data_->facts().path)) return false;
    mounted_ = std::make_unique<Mounted>(*data_);
    if (!mounted_->is_mounted()) return false;
    REQUIRE(make_ledgers(mounted_->path()));
    lab_.allow_ebpf = true;
    lab_.journal = JournalPlace{journals_.path(), 32 * mib, 64 * mib, 8};
    lab_.pacing.idle_pause_ms = 5;
    lab_.open_source_disk = [this](std::size_t i) {
        return *open_device((i == 0 ? data_ : order_)->facts().path, Access::read_only);
    };
    lab_.wrap_links = [this](PeerLinks& links) {
        links.control = std::make_unique<CommitLink>(
            std::move(links.control), [this](const Commit& commit) { look_at(commit); });
    };
    lab_.mirror();
    REQUIRE(lab_.why_not_ebpf.empty());
    return true;
}

PointStudy::~PointStudy() {
    if (lab_.source) lab_.source->forget();
}

void PointStudy::run(std::uint64_t points_max, std::size_t wrong_max) {
    points_max_ = points_max;
    wrong_max_ = wrong_max;
    std::atomic<bool> stop = false;
    std::atomic<int> failed = 0;
    std::vector<std::thread> writers;
    for (std::uint64_t writer = 0; writer < ledger_writers; ++writer)
        writers.emplace_back([&, writer] {
            failed += write_ledger(mounted_->path(), writer, *order_, acknowledged_[writer], stop)
                          ? 0
                          : 1;
        });
    looks_ = true;
    const auto time_max = time_of_a_point_ms_max * static_cast<std::int64_t>(points_max);
    (void)within(time_max, [&] { return has_enough_ || failed != 0; });
    looks_ = false;
    stop = true;
    for (std::thread& writer : writers) writer.join();
    REQUIRE(failed == 0);
    REQUIRE(ok(lab_.source->drain({})));
}

/// On the source's thread: nothing else comes to the target meanwhile.
void PointStudy::look_at(const Commit& commit) {
    if (!looks_ || has_enough_) return;
    const auto is_applied = [&] { return lab_.target->progress().batch >= commit.batch; };
    if (!eventually(is_applied)) return;
    const std::vector<BatchMark> kept = lab_.target->progress().points;
    if (kept.empty() || kept.back().batch != commit.batch) {
        ++passes_;
        return;
    }
    recover(commit);
    has_enough_ = points >= points_max_ || wrong.count() >= wrong_max_;
}

void PointStudy::recover(const Commit& commit) {
    ++points;
    seen_[commit.batch] = target_digests();
    Lasts lasts{};
    bool is_opened = overwrite(*recovered_, lab_.target_disks[0]->contents());
    if (is_opened) {
        const Mounted copy(*recovered_);
        is_opened = copy.is_mounted();
        if (is_opened) lasts = check_ledgers(copy.path(), wrong);
    }
    if (!is_opened) {
        wrong.database.emplace_back("the filesystem cannot be mounted");
        return;
    }
    check_order(lasts, lab_.target_disks[1]->contents(), wrong);
    check_acknowledged(lasts, commit.taken_micros);
    if (lasts != lasts_) ++points_with_news;
    lasts_ = lasts;
    if (points % filesystem_check_every == 0 && !shell("e2fsck -fn " + recovered_->facts().path))
        wrong.database.emplace_back("the filesystem is damaged");
}

void PointStudy::check_acknowledged(const Lasts& lasts, WallMicros taken) {
    for (std::uint64_t writer = 0; writer < ledger_writers; ++writer) {
        const std::uint64_t known = acknowledged_[writer].last_before(taken);
        if (known > lasts[writer])
            wrong.acknowledged.push_back("writer " + std::to_string(writer) + " knew of " +
                                         std::to_string(known) + ", the point holds " +
                                         std::to_string(lasts[writer]));
    }
}

std::array<Digest, 2> PointStudy::target_digests() const {
    return {digest_of(lab_.target_disks[0]->contents()),
            digest_of(lab_.target_disks[1]->contents())};
}

void PointStudy::check_the_way_back() {
    std::vector<BatchMark> kept = lab_.target->progress().points;
    REQUIRE(kept.size() > 1);
    lab_.source->forget();
    lab_.kill_source();
    std::uint64_t compared = 0;
    for (; !kept.empty(); kept.pop_back()) {
        REQUIRE(ok(lab_.target->restore_point(kept.back().batch)));
        const auto seen = seen_.find(kept.back().batch);
        if (seen == seen_.end()) continue;
        CHECK((seen->second == target_digests()));
        ++compared;
    }
    CHECK(compared > 0);
}

void PointStudy::tell() const {
    std::uint64_t transactions = 0;
    for (const std::uint64_t last : lasts_) transactions += last;
    WARN("points " << points << " (with news " << points_with_news << "), passes that were none "
                   << passes_ << ", transactions in the last one " << transactions
                   << ", violations " << wrong.count() << ": database " << wrong.database.size()
                   << ", order " << wrong.order.size() << ", acknowledged "
                   << wrong.acknowledged.size());
    for (const auto* kind : {&wrong.database, &wrong.order, &wrong.acknowledged})
        for (std::size_t i = 0; i < std::min(kind->size(), complaints_shown); ++i) WARN((*kind)[i]);
}

}  // namespace

TEST_CASE("points: the databases recover at every one, in order with the job's other disk") {
    const auto study = PointStudy::make();
    if (!study) return;
    const std::uint64_t wanted = points_wanted();
    study->run(wanted, complaints_shown);
    study->tell();
    CHECK(study->wrong.count() == 0);
    CHECK(study->points == wanted);
    CHECK(study->points_with_news > wanted / 2);
    study->check_the_way_back();
}

TEST_CASE("points: were any end of a pass one, databases and order would show it") {
    const auto study = PointStudy::make();
    if (!study) return;
    any_pass_is_point = true;
    study->run(points_wanted(), complaints_shown);
    any_pass_is_point = false;
    study->tell();
    CHECK(study->wrong.order.size() > 0);
    CHECK(study->wrong.acknowledged.size() > 0);
}

}  // namespace replicator
}  // namespace drover
