#include "tests/replicator/replica_lab.h"

#include "base/assert.h"

#include <cstring>

#include <stdlib.h>

namespace drover::replicator::testing {
namespace {

/// Damages one frame on its way.
class FlippingLink final : public wire::Link {
  public:
    FlippingLink(std::unique_ptr<wire::Link> link, std::atomic<std::uint64_t>& flip_in)
        : link_(std::move(link)),
          flip_in_(flip_in) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        if (flip_in_ == 0 || body.empty() || --flip_in_ != 0) return link_->send(head, body);
        Bytes damaged(body.begin(), body.end());
        damaged[damaged.size() / 2] ^= 0x10;
        return link_->send(head, damaged);
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        return link_->receive(timeout_ms);
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    std::unique_ptr<wire::Link> link_;
    std::atomic<std::uint64_t>& flip_in_;
};

/// Different in every block and never zero; much quicker than random bytes.
void fill(Bytes& out, Random& random) {
    Bytes block(block_bytes);
    random.fill(block);
    for (std::size_t at = 0; at < out.size(); at += block.size()) {
        const std::size_t length = std::min(block.size(), out.size() - at);
        std::memcpy(out.data() + at, block.data(), length);
        const std::uint64_t number = at / block.size() + 1;
        if (length >= sizeof(number)) std::memcpy(out.data() + at, &number, sizeof(number));
    }
}

}  // namespace

TemporaryDirectory::TemporaryDirectory(const std::filesystem::path& parent) {
    std::string name = parent / "drover-replica-XXXXXX";
    DROVER_ASSERT(::mkdtemp(name.data()) != nullptr);
    path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

bool eventually(const std::function<bool()>& condition) {
    return within(10'000, condition);
}

bool within(std::int64_t ms, const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

TrackedDisk::TrackedDisk(std::uint64_t size_bytes)
    : disk(size_bytes),
      words(words_of(blocks_of(size_bytes))) {
    SystemRandom random;
    generation = random.uuid();
}

void TrackedDisk::write(std::uint64_t offset, ByteView data) {
    DROVER_ASSERT(disk.write(offset, data).has_value());
    const std::uint64_t first = offset / block_bytes;
    dirty().set(first, blocks_of(offset + data.size()) - first);
    ++seq;
}

void TrackedDisk::write_block(std::uint64_t block, std::uint8_t value) {
    write(block * block_bytes, Bytes(block_bytes, value));
}

void Recorder::mirror_done(const MirrorDone& done) {
    const std::lock_guard lock(mutex_);
    mirrors_.push_back(done);
}

void Recorder::data_state(const DataStateNow& now) {
    const std::lock_guard lock(mutex_);
    states_.push_back(now.state);
}

void Recorder::generation_gone(const GenerationGone& gone) {
    const std::lock_guard lock(mutex_);
    gone_.push_back(gone);
}

void Recorder::progress(const Progress& progress) {
    const std::lock_guard lock(mutex_);
    last_ = progress;
}

std::vector<MirrorDone> Recorder::mirrors() const {
    const std::lock_guard lock(mutex_);
    return mirrors_;
}

std::vector<DataState> Recorder::states() const {
    const std::lock_guard lock(mutex_);
    return states_;
}

DataState Recorder::state() const {
    const std::lock_guard lock(mutex_);
    return states_.empty() ? DataState::idle : states_.back();
}

std::vector<GenerationGone> Recorder::gone() const {
    const std::lock_guard lock(mutex_);
    return gone_;
}

Progress Recorder::last() const {
    const std::lock_guard lock(mutex_);
    return last_;
}

std::vector<BulkLane> bulk_lanes(PeerLinks& links) {
    std::vector<BulkLane> lanes;
    lanes.push_back({*links.bulk});
    for (const auto& link : links.more_bulk) lanes.push_back({*link});
    return lanes;
}

Lab::Lab(std::vector<std::uint64_t> sizes_bytes, bool tracking)
    : open_source_disk([this](std::size_t i) {
          return std::make_unique<ForwardingDevice>(source_disks[i]->disk);
      }),
      open_target_disk(
          [this](std::size_t i) { return std::make_unique<ForwardingDevice>(*target_disks[i]); }),
      not_after_micros(SystemClock().wall_micros() + 3'600'000'000),
      tracking_(tracking) {
    SeededRandom content(sizes_bytes.front());
    job_ = random_.uuid();
    lineage_ = random_.uuid();
    key = *wire::make_signing_key();
    for (const std::uint64_t size : sizes_bytes) {
        auto& disk = *source_disks.emplace_back(std::make_unique<TrackedDisk>(size));
        fill(disk.disk.contents(), content);
        target_disks.push_back(std::make_unique<MemoryDevice>(size));
    }
}

Lab::~Lab() {
    kill_source();
    kill_target();
}

Ticket Lab::signed_ticket(std::uint64_t at_serial) const {
    Ticket ticket;
    ticket.lineage = lineage_;
    ticket.job = job_;
    ticket.job_name = "web-01";
    ticket.serial = at_serial;
    ticket.source_agent = "source";
    ticket.target_agent = "target";
    for (const auto& disk : source_disks) {
        ticket.disks.push_back({"/dev/a", "/dev/b"});
        ticket.sizes_bytes.push_back(disk->disk.facts().size_bytes);
    }
    ticket.not_after_micros = not_after_micros;
    ticket.signature = *wire::sign(key.key_pem, ticket_message(ticket));
    return ticket;
}

void Lab::start_target() {
    DROVER_ASSERT(try_start_target().has_value());
}

void Lab::start_source() {
    DROVER_ASSERT(try_start_source().has_value());
}

Result<> Lab::try_start_target() {
    TargetConfig config;
    config.ticket = signed_ticket(serial);
    for (std::size_t i = 0; i < target_disks.size(); ++i)
        config.disks.push_back(open_target_disk(i));
    config.state_directory = directory.path() / "target";
    config.overwrite_acknowledged = overwrite_acknowledged;
    config.journal = journal;
    config.fence_point = fence_point;
    TRY(auto opened, open_target_replica(std::move(config), clock_, random_));
    const std::lock_guard lock(target_mutex_);
    target = std::move(opened);
    gate_ = std::make_unique<PeerGate>(
        GateOptions{"target", key.public_pem, 2'000},
        [this](const Ticket&) -> std::shared_ptr<PeerServer> {
            const std::lock_guard finding(target_mutex_);
            if (held) return held;
            return target;
        },
        clock_);
    return {};
}

void Lab::close_gate() {
    std::shared_ptr<TargetReplica> last;
    {
        const std::lock_guard lock(target_mutex_);
        last = std::move(target);
        target = nullptr;
    }
    // Admissions under way hold their own reference, for a moment.
    std::vector<std::thread> admissions;
    {
        const std::lock_guard lock(admissions_mutex_);
        admissions.swap(admissions_);
    }
    for (std::thread& admission : admissions) admission.join();
    last.reset();
}

Result<> Lab::try_start_source() {
    SourceConfig config;
    config.ticket = signed_ticket(serial);
    config.state_directory = directory.path() / "source";
    config.boot_id = boot_id;
    for (std::size_t i = 0; i < source_disks.size(); ++i) {
        SourceDisk disk;
        disk.device = open_source_disk(i);
        disk.free_space = free_space;
        if (tracking_) {
            disk.tracker = std::make_unique<MarkingTracker>(*source_disks[i]);
        } else {
            TrackerOptions options;
            options.job = job_;
            options.disk = static_cast<std::uint32_t>(i);
            options.state_directory = config.state_directory;
            options.boot_id = boot_id;
            options.allow_ebpf = allow_ebpf;
            disk.tracker = *open_tracker(*disk.device, options, &why_not_ebpf);
            tracker_resumed = disk.tracker->resumed();
        }
        config.disks.push_back(std::move(disk));
    }
    config.mode = mode;
    config.limits = limits;
    config.pacing = pacing;
    config.compression = compression;
    config.streams = streams;
    config.batch_bytes = batch_bytes;
    config.ack_timeout_ms = ack_timeout_ms;
    config.backlog_bytes_max = 1U << 20;
    config.overwrite_acknowledged = overwrite_acknowledged;
    config.dial = [this] { return dial(); };
    if (fence_point) config.fence_point = fence_point->generation;
    TRY(source, open_source_replica(std::move(config), recorder, clock_, random_));
    return {};
}

void Lab::mirror() {
    start_target();
    start_source();
    DROVER_ASSERT(eventually([this] { return !recorder.mirrors().empty(); }));
}

void Lab::cut_next(std::uint64_t bulk_frames, std::uint64_t control_frames) {
    cut_bulk_after_frames = bulk_frames;
    cut_control_after_frames = control_frames;
    // A newer ticket is what ends a connection without anybody dying.
    source->update(signed_ticket(++serial), mode, limits, overwrite_acknowledged);
}

Result<PeerLinks> Lab::dial() {
    ++dials_;
    PeerLinks links;
    {
        const std::lock_guard lock(target_mutex_);
        if (!target) return Error(Errc::unavailable, "connection_refused", "nobody listens");
        wire::MemoryLinkOptions options = link_options();
        options.cut_after_frames = cut_control_after_frames.exchange(0);
        auto control = wire::make_memory_links(options);
        const std::lock_guard admissions(admissions_mutex_);
        admissions_.emplace_back([gate = gate_.get(), link = std::move(control.second)]() mutable {
            gate->admit_control(std::move(link));
        });
        links.control = std::move(control.first);
    }
    TRY(links.bulk, dial_bulk(cut_bulk_after_frames.exchange(0)));
    links.dial_bulk = [this] { return dial_bulk(0); };
    if (wrap_links) wrap_links(links);
    return links;
}

wire::MemoryLinkOptions Lab::link_options() const {
    wire::MemoryLinkOptions options;
    options.first_identity = source_identity;
    options.queued_bytes_max = 2U << 20;
    return options;
}

Result<std::unique_ptr<wire::Link>> Lab::dial_bulk(std::uint64_t cut_after_frames) {
    const std::lock_guard lock(target_mutex_);
    if (!target) return Error(Errc::unavailable, "connection_refused", "nobody listens");
    wire::MemoryLinkOptions options = link_options();
    options.cut_after_frames = cut_after_frames;
    auto bulk = wire::make_memory_links(options);
    const std::lock_guard admissions(admissions_mutex_);
    admissions_.emplace_back([gate = gate_.get(), link = std::move(bulk.second)]() mutable {
        gate->admit_bulk(std::move(link));
    });
    return std::unique_ptr<wire::Link>(
        std::make_unique<FlippingLink>(std::move(bulk.first), flip_bulk_frame_in));
}

std::uint64_t Lab::differing_bytes() {
    std::uint64_t differing = 0;
    for (std::size_t i = 0; i < source_disks.size(); ++i) {
        const Bytes& ours = source_disks[i]->disk.contents();
        const Bytes& theirs = target_disks[i]->contents();
        if (ours == theirs) continue;
        for (std::size_t at = 0; at < ours.size(); ++at) differing += ours[at] != theirs[at];
    }
    return differing;
}

}  // namespace drover::replicator::testing
