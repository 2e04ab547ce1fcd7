#include "replicator/target_session.h"

#include "base/log.h"
#include "base/mutation.h"
#include "replicator/bulk_lanes.h"
#include "replicator/disk_hash.h"
#include "replicator/frame.h"
#include "replicator/peer_codec.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// As of a lane.
constexpr std::int64_t idle_ms_max = 3'600'000;
/// Longest silence on the bulk links while a commit waits for its frames.
constexpr std::int64_t frame_wait_ms_max = 30'000;
/// The source hears at least this often that a long answer is being worked on.
constexpr std::int64_t working_every_ms = 2'000;
/// What a session that ends may still read back; the rest is sent again.
constexpr std::int64_t last_read_ms_max = 5'000;
constexpr std::uint64_t hash_chunk_bytes_max = 1U << 20;
constexpr std::uint64_t leaf_bytes_any = std::uint64_t{1} << 62;

Error protocol_error(const std::string& why) {
    return Error(Errc::invalid, "bad_message", "the source broke the protocol: " + why,
                 "everything that was acknowledged",
                 "check that both agents run matching versions");
}

Error session_ended(const std::string& why) {
    return Error(Errc::cancelled, "session_ended", why);
}

/// What covers the same bytes comes in one lane, or nobody could say which of it is later.
Result<> check_lane(const FrameHeader& header, unsigned lane, unsigned lanes) {
    if (lanes == 1) return {};
    const unsigned right = lane_of(header.disk, header.offset, lanes);
    if (lane == right && header.raw_length <= stripe_left(header.offset)) return {};
    return Error(Errc::invalid, "bad_frame",
                 "bytes " + std::to_string(header.offset) + "+" +
                     std::to_string(header.raw_length) + " of disk " + std::to_string(header.disk) +
                     " in lane " + std::to_string(lane) + " of " + std::to_string(lanes) +
                     ", where they do not belong",
                 "nothing of it was written", "check that both agents run matching versions");
}

std::unique_ptr<ReadBack> read_back_for(const PeerHello& hello, TargetState& state) {
    if (std::ranges::count(hello.capabilities, read_back_capability) == 0) return nullptr;
    std::vector<BlockDevice*> disks;
    for (std::size_t i = 0; i < state.disk_count(); ++i) disks.push_back(&state.disk(i));
    ReadBackLimits limits;
    // A way back comes as one batch, and during a test nothing is flushed to the disks: all that
    // the journal has room for.
    limits.open_bytes_max = std::max(limits.open_bytes_max, state.journal_budget_bytes());
    return std::make_unique<ReadBack>(std::move(disks), hello.ticket.sizes_bytes, state.read_back,
                                      limits);
}

}  // namespace

TargetSession::TargetSession(TargetState& state, const Uuid& id,
                             std::unique_ptr<wire::Link> control, const PeerHello& hello,
                             Clock& clock)
    : state_(state),
      id_(id),
      sizes_bytes_(hello.ticket.sizes_bytes),
      codecs_(codecs_in(hello.capabilities)),
      intakes_(lanes_for(hello)),
      clock_(clock),
      control_(std::move(control)),
      read_back_(read_back_for(hello, state)),
      account_(state.acknowledged().batch, lanes_for(hello)),
      lanes_(lanes_for(hello),
             {[this](unsigned lane, ByteView frame) { return apply(lane, frame); },
              [this](unsigned lane) { return !intakes_[lane].window.is_empty(); },
              [this](unsigned lane) { return write_window(intakes_[lane].window); },
              [this](const Error& error) { fail(error); }, [this] { lose_lanes(); }}) {}

void TargetSession::welcome(const PeerWelcome& message) {
    if (const auto sent = send(message); !sent) abort();
}

void TargetSession::run() {
    for (;;) {
        const auto bytes = control_->receive(idle_ms_max);
        if (!bytes) break;
        const auto message = decode_source_message(*bytes);
        const Result<> done = message ? answer(*message) : Result<>(message.error());
        if (done) continue;
        fail(done.error());
        break;
    }
    abort();
    lanes_.join();
    if (read_back_) read_back_->end(last_read_ms_max);
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

void TargetSession::abort() {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    control_->abort();
    lanes_.abort();
    changed_.notify_all();
}

bool TargetSession::is_aborted() {
    const std::lock_guard lock(mutex_);
    return aborted_;
}

void TargetSession::wait_ended() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
}

void TargetSession::fail(const Error& error) {
    {
        // What other lanes find wrong follows from the first: it is told before they end anything.
        const std::lock_guard lock(send_mutex_);
        if (is_aborted() || std::exchange(refused_, true)) return;
        log::warn("replicator", "target session ends: " + error.text());
        // The reason first: an aborted link delivers nothing. If the source is gone, nobody misses
        // it.
        (void)control_->send(encode(TargetMessage(PeerRefused{error})));
    }
    lose_lanes();
    lanes_.abort();
}

/// The source notices by itself; a commit that waits for frames must not wait longer, nor a frame
/// for a commit.
void TargetSession::lose_lanes() {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
}

Result<> TargetSession::send(const TargetMessage& message) {
    const std::lock_guard lock(send_mutex_);
    spoke_ms_ = clock_.steady_ms();
    return control_->send(encode(message));
}

Result<> TargetSession::say_working() {
    if (is_aborted()) return session_ended("the session was ended");
    if (clock_.steady_ms() - spoke_ms_ < working_every_ms) return {};
    return send(Working{});
}

// ---- answers ----

/// What a test has left in the journal is applied once it is over, whether or not more comes.
Result<> TargetSession::catch_up() {
    for (;;) {
        TRY(const bool applied, state_.apply_one());
        if (!applied) return {};
        if (read_back_) read_back_->flushed(state_.checkpoint().batch);
        TRY_VOID(say_working());
    }
}

Result<> TargetSession::answer(const SourceMessage& message) {
    TRY_VOID(catch_up());
    if (const auto* commit = std::get_if<Commit>(&message)) return answer_commit(*commit);
    if (const auto* hashes = std::get_if<HashRange>(&message)) return answer_hashes(hashes->range);
    if (const auto* leaves = std::get_if<ShaRange>(&message)) return answer_leaves(leaves->range);
    if (std::holds_alternative<Ping>(message)) return send(Pong{});
    if (const auto* back = std::get_if<ReadBackWanted>(&message)) return answer_read_back(*back);
    if (std::holds_alternative<HoldingWanted>(message)) return answer_holding();
    if (std::holds_alternative<CompareRange>(message))
        return protocol_error("asked what users wrote to disks that are not theirs");
    return protocol_error("a second hello");
}

Result<> TargetSession::answer_holding() {
    Holding holding{state_.checkpoint().for_peer(), state_.journal_lag_bytes()};
    holding.checkpoint.verified_batch = state_.read_back.verified_batch;
    return send(std::move(holding));
}

Result<> TargetSession::wait_for_frames(const Commit& commit) {
    std::unique_lock lock(mutex_);
    if (commit.batch != account_.committed() + 1) return protocol_error("commit out of order");
    while (account_.frames(commit.batch) < commit.frames) {
        if (failed_ || aborted_) return session_ended("the bulk link ended before the commit");
        const std::uint64_t before = account_.frames(commit.batch);
        changed_.wait_for(lock, frame_wait_ms_max, [&] {
            return failed_ || aborted_ || account_.frames(commit.batch) != before;
        });
        if (account_.frames(commit.batch) == before && !failed_ && !aborted_)
            return Error(Errc::timed_out, "bulk_stalled",
                         "frames of batch " + std::to_string(commit.batch) + " did not arrive",
                         "everything that was acknowledged", "the source sends them again");
    }
    if (account_.admitted(commit.batch) != commit.frames ||
        account_.digest(commit.batch) != commit.digest)
        return protocol_error("the commit names other frames than arrived");
    account_.close(commit.batch);
    changed_.notify_all();
    return {};
}

Result<> TargetSession::answer_commit(const Commit& commit) {
    if (commit.mirrored_upto.size() != sizes_bytes_.size() || commit.generation.is_zero())
        return protocol_error("commit without a place for every disk");
    for (std::size_t i = 0; i < sizes_bytes_.size(); ++i)
        if (commit.mirrored_upto[i] > sizes_bytes_[i])
            return protocol_error("mirrored beyond the end of a disk");
    if (!DROVER_MUTANT("commit_without_frames")) TRY_VOID(wait_for_frames(commit));
    // An error is no acknowledgement: the session ends, and the source sends everything since the
    // last one again.
    TRY_VOID(state_.commit(commit));
    // During a test durable is all that it gets, for any source.
    const bool is_early = state_.acknowledges_early || state_.is_in_test();
    if (is_early) TRY_VOID(acknowledge(commit.batch));
    // A way back is applied as one batch: the source waits for what is read back of it.
    TRY(const bool is_applied, state_.apply_committed(commit, [this] { (void)say_working(); }));
    if (read_back_ && is_applied) read_back_->flushed(commit.batch);
    if (read_back_ && read_back_->doubts(commit.batch)) TRY_VOID(state_.give_up_points());
    return is_early ? Result<>() : acknowledge(commit.batch);
}

Result<> TargetSession::acknowledge(std::uint64_t batch) {
    {
        const std::lock_guard lock(mutex_);
        account_.commit();
    }
    return send(Committed{batch});
}

Result<> TargetSession::answer_read_back(const ReadBackWanted& question) {
    if (!read_back_) return protocol_error("asked for what it did not offer to hear");
    ReadBackFound found = read_back_->facts();
    if (question.finish) {
        TRY(found, read_back_->finish([this] { return say_working(); }));
    }
    // Nobody knows which of the points the wrong bytes are in.
    if (!found.differing.empty()) TRY_VOID(state_.give_up_points());
    return send(std::move(found));
}

/// A comparison with what the disk will not hold once the test is over would prove nothing.
Result<> TargetSession::check_settled(const RangeQuestion& range) {
    return state_.is_waiting(range) ? Result<>(target_in_test()) : Result<>();
}

Result<> TargetSession::check_question(const RangeQuestion& range,
                                       std::uint64_t chunk_bytes_max) const {
    if (range.disk >= sizes_bytes_.size()) return protocol_error("no such disk");
    const std::uint64_t size = sizes_bytes_[range.disk];
    if (range.length == 0 || range.length > size || range.offset > size - range.length)
        return protocol_error("a range beyond the end of the disk");
    const bool ends_well = range.length % 4096 == 0 || range.offset + range.length == size;
    if (range.offset % 4096 != 0 || !ends_well) return protocol_error("a range not on blocks");
    if (range.chunk_bytes < 4096 || range.chunk_bytes % 4096 != 0 ||
        range.chunk_bytes > chunk_bytes_max)
        return protocol_error("chunk size");
    if ((range.length - 1) / range.chunk_bytes >= range_digests_max)
        return protocol_error("too many chunks");
    return {};
}

Result<> TargetSession::answer_hashes(const RangeQuestion& range) {
    TRY_VOID(check_question(range, hash_chunk_bytes_max));
    TRY_VOID(check_settled(range));
    TRY(auto digests, read_digests(state_.disk(range.disk), range.offset, range.length,
                                   range.chunk_bytes, [this] { return say_working(); }));
    return send(RangeHashes{range.disk, range.offset, std::move(digests)});
}

Result<> TargetSession::answer_leaves(const RangeQuestion& range) {
    TRY_VOID(check_question(range, leaf_bytes_any));
    TRY_VOID(check_settled(range));
    TRY(auto leaves, read_leaves(state_.disk(range.disk), range.offset, range.length,
                                 range.chunk_bytes, [this] { return say_working(); }));
    return send(RangeLeaves{range.disk, range.offset, std::move(leaves)});
}

// ---- bulk ----

/// Waits for the rest of the batch before the frame's, which may be in other lanes.
Result<> TargetSession::admit(const FrameHeader& header) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failed_ || aborted_ || !account_.must_wait(header); });
    if (failed_ || aborted_) return session_ended("another bulk link ended");
    return account_.admit(header);
}

Result<> TargetSession::apply(unsigned lane, ByteView bytes) {
    TRY(const Frame packed, parse_frame(bytes, sizes_bytes_, codecs_));
    const FrameHeader& header = packed.header;
    TRY_VOID(check_lane(header, lane, static_cast<unsigned>(intakes_.size())));
    Intake& intake = intakes_[lane];
    // Before this lane waits for others: they may wait for what is in its window.
    if (!intake.window.follows(header)) TRY_VOID(write_window(intake.window));
    TRY_VOID(admit(header));
    TRY(const Frame frame, intake.unpacker.unpack(packed));
    const auto hashes = read_back_ ? hashes_of(frame) : nullptr;
    TRY_VOID(check_content(frame));
    TRY_VOID(state_.before_write(header));
    if (read_back_) TRY_VOID(read_back_->begin_write(header));
    TRY(const bool is_written, write(frame, intake.window, hashes));
    if (!is_written) return {};
    const WriteWindow::Waiting written{header, hashes};
    account(std::span(&written, 1));
    return {};
}

/// To the journal, in place, or (false) to the window: then it is written later.
Result<bool> TargetSession::write(const Frame& frame, WriteWindow& window,
                                  const std::shared_ptr<const ExtentHashes>& hashes) {
    const FrameHeader& header = frame.header;
    BlockDevice& disk = state_.disk(header.disk);
    TRY(const bool is_journalled, state_.journal_frame(header, frame.payload));
    if (is_journalled) return true;
    if (WriteWindow::is_for(header)) {
        window.add(header, frame.payload, hashes);
        return false;
    }
    TRY_VOID(header.kind == FrameKind::data ? disk.write(header.offset, frame.payload)
                                            : disk.write_zeroes(header.offset, header.raw_length));
    return true;
}

Result<> TargetSession::write_window(WriteWindow& window) {
    if (window.is_empty()) return {};
    TRY_VOID(window.write(state_.disk(window.waiting().front().header.disk)));
    account(window.waiting());
    window.clear();
    return {};
}

/// Only what was written is counted, so that no COMMIT is taken before.
void TargetSession::account(std::span<const WriteWindow::Waiting> written) {
    for (const auto& [header, hashes] : written) {
        if (header.kind == FrameKind::data) state_.bytes_written += header.raw_length;
        if (read_back_) read_back_->wrote(header, hashes);
    }
    const std::lock_guard lock(mutex_);
    for (const WriteWindow::Waiting& one : written) account_.add(one.header);
    changed_.notify_all();
}

}  // namespace drover::replicator
