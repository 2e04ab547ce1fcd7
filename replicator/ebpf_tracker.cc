#include "replicator/ebpf_tracker.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "replicator/audit_ledger.h"
#include "replicator/bpffs.h"
#include "replicator/diskstats.h"
#include "replicator/kernel_tracker.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace drover::replicator {

namespace {

/// On a disk with 100,000 writes a second about one audit in a hundred finds a gap to look through.
constexpr int resume_audits_max = 2000;
/// A new tracker looks this often, a millisecond apart, for moments without a write in flight.
constexpr int settle_audits_max = 50;

std::uint64_t load(unsigned long long& counter) {
    return std::atomic_ref<unsigned long long>(counter).load(std::memory_order_seq_cst);
}

SectorCounts traced(track_counters& counters) {
    return {load(counters.completed_written), load(counters.completed_discarded)};
}

void store_ledger(track_control& control, const AuditLedger& ledger) {
    control.base_written = ledger.base.written;
    control.base_discarded = ledger.base.discarded;
    control.lost_written = ledger.lost.written;
    control.lost_discarded = ledger.lost.discarded;
    control.passthrough_seen = ledger.passthrough_seen;
    control.out_of_bounds_seen = ledger.out_of_bounds_seen;
    control.drift = ledger.drift;
    control.drift_known = ledger.drift_observations;
    control.window_lost = ledger.window_lost;
    control.window_issue_lost = ledger.window_issue_lost;
    control.repairs = ledger.repairs;
}

AuditLedger stored_ledger(const track_control& control) {
    AuditLedger ledger;
    ledger.base = {control.base_written, control.base_discarded};
    ledger.lost = {control.lost_written, control.lost_discarded};
    ledger.passthrough_seen = control.passthrough_seen;
    ledger.out_of_bounds_seen = control.out_of_bounds_seen;
    ledger.drift = control.drift;
    ledger.drift_observations = control.drift_known;
    ledger.window_lost = control.window_lost;
    ledger.window_issue_lost = control.window_issue_lost;
    ledger.repairs = control.repairs;
    return ledger;
}

Generation stored_generation(const track_control& control) {
    Generation generation;
    std::ranges::copy(control.generation, generation.data.begin());
    return generation;
}

/// The state file: all that must be the same for an earlier process's maps to mean anything.
std::string state_text(const Generation& generation, const DeviceFacts& facts,
                       const std::string& boot_id, const std::string& kernel_identity) {
    return "drover tracker 1\ngeneration " + generation.hex() + "\nboot " + boot_id + "\ndisk " +
           facts.identity + "\nsize " + std::to_string(facts.size_bytes) + "\nnumber " +
           std::to_string(facts.major) + ":" + std::to_string(facts.minor) + "\nsequence " +
           disk_attribute(facts.major, facts.minor, "diskseq") + "\nkernel" + kernel_identity +
           "\n";
}

class EbpfTracker final : public ChangeTracker {
  public:
    EbpfTracker(DeviceFacts facts, DiskStats stats, KernelTracker kernel,
                std::filesystem::path pins, std::filesystem::path state_file)
        : facts_(std::move(facts)),
          stats_(std::move(stats)),
          kernel_(std::move(kernel)),
          pins_(std::move(pins)),
          state_file_(std::move(state_file)) {}

    [[nodiscard]] std::string_view kind() const override { return "ebpf"; }

    [[nodiscard]] const Generation& generation() const override { return generation_; }

    [[nodiscard]] bool resumed() const override { return resumed_; }

    [[nodiscard]] BlockMap dirty() override {
        return BlockMap(kernel_.dirty(), blocks_of(facts_.size_bytes));
    }

    /// The issue side first: a write that completes in between is then seen twice, not never.
    [[nodiscard]] bool may_be_written(std::uint64_t first_block, std::uint64_t blocks) override {
        return issued(0).any(first_block, blocks) || issued(1).any(first_block, blocks) ||
               dirty().any(first_block, blocks);
    }

    [[nodiscard]] Result<> refresh() override { return {}; }

    void observe(std::uint64_t, ByteView) override {}

    [[nodiscard]] std::uint64_t observe_bytes() const override { return block_bytes; }

    [[nodiscard]] std::uint64_t seq() override { return load(kernel_.counters().seq); }

    [[nodiscard]] Result<Audit> audit() override;
    void forget() override;

    /// Starts a new generation on freshly attached programs. Errors: io.
    [[nodiscard]] Result<> begin(const std::string& boot_id);
    /// False if what was found is not complete: forget it and begin anew. Errors: io.
    [[nodiscard]] Result<bool> resume(const std::string& boot_id);

  private:
    [[nodiscard]] Result<AuditSample> take_sample();

    [[nodiscard]] BlockMap issued(std::uint32_t side) const {
        return BlockMap(kernel_.issued(side), blocks_of(facts_.size_bytes));
    }

    void apply(const Judgement& judgement);
    void rotate_issued();

    DeviceFacts facts_;
    DiskStats stats_;
    KernelTracker kernel_;
    std::filesystem::path pins_;
    std::filesystem::path state_file_;
    SystemClock clock_;
    AuditLedger ledger_;
    Generation generation_;
    bool resumed_ = false;
};

Result<AuditSample> EbpfTracker::take_sample() {
    track_counters& counters = kernel_.counters();
    AuditSample sample;
    TRY(sample.accounting_on, stats_.accounting_on());
    sample.traced_before = traced(counters);
    TRY(sample.kernel, stats_.completed());
    sample.traced_after = traced(counters);
    sample.passthrough = load(counters.passthrough);
    sample.out_of_bounds = load(counters.out_of_bounds);
    // After the kernel's counters: a write between the two readings then looks in flight, not
    // unissued.
    sample.issued = load(counters.issued_written) + load(counters.issued_discarded);
    // Only an exact audit looks at it, and reading it walks the disk's whole queue.
    if (sample.traced_before == sample.traced_after) {
        TRY(sample.writes_in_flight, stats_.writes_in_flight());
    }
    sample.now_ms = clock_.steady_ms();
    return sample;
}

void EbpfTracker::rotate_issued() {
    std::atomic_ref<unsigned> side(kernel_.control().issue_side);
    const std::uint32_t other = 1 - side.load();
    BlockMap map = issued(other);
    // Most words are zero: looking first is several times cheaper than clearing all of them.
    for (std::size_t i = 0; i < words_of(map.blocks()); ++i)
        if (map.word(i) != 0) (void)map.take_word(i);
    side.store(other);
}

void EbpfTracker::apply(const Judgement& judgement) {
    switch (judgement.remedy) {
        case Remedy::none:
            break;
        case Remedy::mark_issued: {
            BlockMap map = dirty();
            map.merge(issued(0));
            map.merge(issued(1));
            break;
        }
        case Remedy::mark_all:
            dirty().set_all();
            break;
    }
    if (judgement.rotate_issued) rotate_issued();
    ledger_ = judgement.ledger;
    store_ledger(kernel_.control(), ledger_);
}

Result<Audit> EbpfTracker::audit() {
    TRY(const AuditSample sample, take_sample());
    if (!sample.accounting_on) TRY_VOID(stats_.switch_accounting_on());
    Judgement judgement = judge(ledger_, sample);
    apply(judgement);
    Audit& audit = judgement.audit;
    if (audit.verdict == Audit::Verdict::repaired || audit.verdict == Audit::Verdict::lost)
        audit.detail +=
            "; programs skipped by recursion: " + std::to_string(kernel_.recursion_misses());
    return std::move(audit);
}

void EbpfTracker::forget() {
    kernel_.detach();
    // What cannot be removed now is removed when the next tracker of this disk is opened: without
    // its state file it is never resumed.
    (void)remove_file_durably(state_file_);
    (void)remove_pins(pins_);
}

Result<> EbpfTracker::begin(const std::string& boot_id) {
    track_control& control = kernel_.control();
    generation_ = SystemRandom().uuid();
    std::ranges::copy(generation_.data, control.generation);
    control.layout = TRACK_LAYOUT;
    TRY(const AuditSample first, take_sample());
    ledger_ = first_ledger(first);
    store_ledger(control, ledger_);
    for (int i = 0; i < settle_audits_max && ledger_.drift_observations < drift_observations_enough;
         ++i) {
        TRY(const Audit settling, audit());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    // What was marked so far is on the disk already; the caller reads all of it from here on.
    dirty().clear_all();
    return write_file_durably(
        state_file_, as_bytes(state_text(generation_, facts_, boot_id, kernel_.identity())));
}

Result<bool> EbpfTracker::resume(const std::string& boot_id) {
    const track_control& control = kernel_.control();
    if (control.layout != TRACK_LAYOUT || control.issue_side > 1) return false;
    generation_ = stored_generation(control);
    const auto state = read_text(state_file_, 65536);
    if (!state || *state != state_text(generation_, facts_, boot_id, kernel_.identity()))
        return false;
    ledger_ = stored_ledger(control);
    for (int i = 0; i < resume_audits_max; ++i) {
        TRY(const Audit found, audit());
        resumed_ =
            found.verdict == Audit::Verdict::exact || found.verdict == Audit::Verdict::repaired;
        if (found.verdict != Audit::Verdict::busy) return resumed_;
        std::this_thread::yield();
    }
    return false;
}

using Opened = std::unique_ptr<EbpfTracker>;

Result<Opened> assemble(const DeviceFacts& facts, const TrackerOptions& options,
                        KernelTracker kernel) {
    TRY(DiskStats stats, DiskStats::open(facts.major, facts.minor));
    TRY_VOID(stats.switch_accounting_on());
    return std::make_unique<EbpfTracker>(
        facts, std::move(stats), std::move(kernel), pin_directory(options.job, options.disk),
        options.state_directory / ("tracker-" + std::to_string(options.disk) + ".state"));
}

/// Null if there is nothing that can be continued.
Result<Opened> try_resume(const DeviceFacts& facts, const TrackerOptions& options) {
    const std::filesystem::path pins = pin_directory(options.job, options.disk);
    auto kernel = KernelTracker::reopen(pins, blocks_of(facts.size_bytes));
    // Missing, of another version, or of another size: all mean a new generation.
    if (!kernel) return Opened();
    TRY(Opened tracker, assemble(facts, options, std::move(*kernel)));
    TRY(const bool complete, tracker->resume(options.boot_id));
    if (!complete) {
        tracker->forget();
        return Opened();
    }
    return tracker;
}

Result<Opened> start_anew(const DeviceFacts& facts, const TrackerOptions& options) {
    const std::filesystem::path pins = pin_directory(options.job, options.disk);
    TRY_VOID(remove_pins(pins));
    TRY_VOID(make_pin_directory(pins));
    auto kernel =
        KernelTracker::attach(pins, {facts.major, facts.minor, blocks_of(facts.size_bytes)});
    if (!kernel) {
        TRY_VOID(remove_pins(pins));
        return std::move(kernel).error();
    }
    TRY(Opened tracker, assemble(facts, options, std::move(*kernel)));
    if (auto begun = tracker->begin(options.boot_id); !begun) {
        tracker->forget();
        return std::move(begun).error();
    }
    return tracker;
}

}  // namespace

Result<std::unique_ptr<ChangeTracker>> open_ebpf_tracker(BlockDevice& device,
                                                         const TrackerOptions& options) {
    const DeviceFacts& facts = device.facts();
    TRY_VOID(ebpf_can_track(facts));
    TRY(Opened resumed, try_resume(facts, options));
    if (resumed) return std::unique_ptr<ChangeTracker>(std::move(resumed));
    TRY(Opened fresh, start_anew(facts, options));
    return std::unique_ptr<ChangeTracker>(std::move(fresh));
}

}  // namespace drover::replicator
