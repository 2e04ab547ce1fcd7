#include "replicator/wishes.h"

#include <utility>

namespace drover::replicator {
namespace {

Error cancelled() {
    return Error(Errc::cancelled, "replica_stopped", "replication was asked to stop",
                 "everything that the target acknowledged");
}

Error already_running() {
    return Error(Errc::conflict, "already_running", "the same step is being done already");
}

}  // namespace

Error points_not_possible(std::string why) {
    return Error(
        Errc::unavailable, "points_not_possible", std::move(why),
        "everything that was copied; nothing was frozen",
        "see drover job show: a point needs a copy in sync, the eBPF tracker, and a target "
        "with a journal");
}

// ---- for other threads ----

void Wishes::update(Desired desired) {
    const std::lock_guard lock(mutex_);
    if (desired.ticket.serial < desired_.ticket.serial) return;
    const bool rose = desired.ticket.serial > desired_.ticket.serial;
    desired_ = std::move(desired);
    ++version_;
    if (rose) abort_links();
    changed_.notify_all();
}

void Wishes::stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    ++version_;
    abort_links();
    changed_.notify_all();
}

Result<> Wishes::wait_settled(std::uint64_t backlog_bytes_max, std::int64_t timeout_ms) {
    std::unique_lock lock(mutex_);
    // Only a pass that begins from now on has seen every write made before this call.
    const std::uint64_t first = passes_begun_ + 1;
    ++settling_;
    ++version_;
    changed_.notify_all();
    const bool settled = changed_.wait_for(lock, timeout_ms, [&] {
        return stopped_ || (pass_measured_ >= first && backlog_bytes_ <= backlog_bytes_max);
    });
    --settling_;
    if (stopped_) return cancelled();
    if (settled) return {};
    const std::string seen = pass_measured_ >= first
                                 ? "the backlog is " + std::to_string(backlog_bytes_) + " bytes"
                                 : std::string("no pass could measure the backlog");
    return Error(Errc::unavailable, "backlog_too_large",
                 seen + ", above " + std::to_string(backlog_bytes_max),
                 "the source keeps running and everything copied so far",
                 "wait for the copy to catch up, or lower the write load");
}

template <class T>
Result<T> Wishes::wait_for(std::unique_lock<Mutex>& lock, Request<T>& request) {
    if (stopped_) return cancelled();
    request.wanted = true;
    ++version_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return stopped_ || request.answer; });
    request.wanted = false;
    if (!request.answer) return cancelled();
    Result<T> answer = std::move(*request.answer);
    request.answer.reset();
    return answer;
}

Result<DrainDone> Wishes::wait_drained(std::uint64_t sent_before) {
    std::unique_lock lock(mutex_);
    if (drain_.wanted) return already_running();
    sent_before_drain_ = sent_before;
    return wait_for(lock, drain_);
}

Result<VerifyDone> Wishes::wait_verified() {
    std::unique_lock lock(mutex_);
    if (verify_.wanted) return already_running();
    return wait_for(lock, verify_);
}

Result<VerifyDone> Wishes::wait_proved() {
    std::unique_lock lock(mutex_);
    if (prove_.wanted) return already_running();
    return wait_for(lock, prove_);
}

Result<std::optional<CompareDone>> Wishes::wait_compared(std::int64_t ms) {
    std::unique_lock lock(mutex_);
    if (!compare_.wanted) ++version_;
    compare_.wanted = true;
    changed_.notify_all();
    changed_.wait_for(lock, ms, [&] { return stopped_ || compare_.answer; });
    if (!compare_.answer && !stopped_) return std::optional<CompareDone>();
    compare_.wanted = false;
    const auto answer = std::exchange(compare_.answer, std::nullopt);
    if (stopped_) return cancelled();
    if (!*answer) return answer->error();
    return std::optional(**answer);
}

Result<SealedPoint> Wishes::wait_sealed(std::shared_ptr<Freezer> freezer, std::int64_t timeout_ms) {
    std::unique_lock lock(mutex_);
    if (seal_.wanted) return already_running();
    if (stopped_) return cancelled();
    seal_.wanted = true;
    freezer_ = std::move(freezer);
    ++version_;
    changed_.notify_all();
    changed_.wait_for(lock, timeout_ms, [&] { return stopped_ || !freezer_; });
    // What has begun ends by itself, and soon.
    if (!freezer_) changed_.wait(lock, [&] { return seal_.answer.has_value(); });
    freezer_.reset();
    seal_.wanted = false;
    if (!seal_.answer)
        return stopped_ ? cancelled()
                        : points_not_possible("the source is not in touch with its target");
    Result<SealedPoint> answer = std::move(*seal_.answer);
    seal_.answer.reset();
    return answer;
}

// ---- for the replica's thread ----

Wishes::Desired Wishes::desired() const {
    const std::lock_guard lock(mutex_);
    return desired_;
}

bool Wishes::stopped() const {
    const std::lock_guard lock(mutex_);
    return stopped_;
}

bool Wishes::drain_wanted() const {
    const std::lock_guard lock(mutex_);
    return drain_.is_open();
}

bool Wishes::verify_wanted() const {
    const std::lock_guard lock(mutex_);
    return verify_.is_open();
}

bool Wishes::prove_wanted() const {
    const std::lock_guard lock(mutex_);
    return prove_.is_open();
}

bool Wishes::compare_wanted() const {
    const std::lock_guard lock(mutex_);
    return compare_.is_open();
}

bool Wishes::is_hurried() const {
    const std::lock_guard lock(mutex_);
    return settling_ > 0 || drain_.is_open();
}

bool Wishes::is_quiet() const {
    const std::lock_guard lock(mutex_);
    const bool asked = settling_ > 0 || drain_.is_open() || verify_.is_open() || prove_.is_open() ||
                       compare_.is_open();
    // A comparison during the hold connects by itself.
    const bool rests =
        desired_.mode == ReplicateMode::track_only || desired_.mode == ReplicateMode::compare;
    return rests && !asked;
}

bool Wishes::wants_passes() const {
    const std::lock_guard lock(mutex_);
    return desired_.mode == ReplicateMode::transfer || settling_ > 0 || drain_.is_open();
}

bool Wishes::is_over(std::uint64_t serial) const {
    const std::lock_guard lock(mutex_);
    return stopped_ || desired_.ticket.serial != serial;
}

/// Under the mutex.
void Wishes::abort_links() {
    for (wire::Link* link : links_) link->abort();
}

Wishes::Attachment::Attachment(Wishes& wishes, wire::Link& control, wire::Link& bulk)
    : wishes_(wishes) {
    const std::lock_guard lock(wishes_.mutex_);
    wishes_.links_ = {&control, &bulk};
}

void Wishes::Attachment::add(wire::Link& link) {
    const std::lock_guard lock(wishes_.mutex_);
    wishes_.links_.push_back(&link);
}

Wishes::Attachment::~Attachment() {
    const std::lock_guard lock(wishes_.mutex_);
    wishes_.links_.clear();
}

void Wishes::note_pass_begun() {
    const std::lock_guard lock(mutex_);
    ++passes_begun_;
}

void Wishes::note_pass(std::optional<std::uint64_t> backlog_bytes) {
    const std::lock_guard lock(mutex_);
    if (!backlog_bytes) return;
    pass_measured_ = passes_begun_;
    backlog_bytes_ = *backlog_bytes;
    changed_.notify_all();
}

void Wishes::finish_drain(DrainDone done) {
    const std::lock_guard lock(mutex_);
    done.bytes -= sent_before_drain_;
    if (drain_.wanted) drain_.answer = done;
    changed_.notify_all();
}

void Wishes::fail_requests(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (drain_.wanted) drain_.answer = Result<DrainDone>(error);
    if (verify_.wanted) verify_.answer = Result<VerifyDone>(error);
    if (prove_.wanted) prove_.answer = Result<VerifyDone>(error);
    if (compare_.wanted) compare_.answer = Result<CompareDone>(error);
    changed_.notify_all();
}

void Wishes::finish_verify(Result<VerifyDone> done) {
    const std::lock_guard lock(mutex_);
    if (verify_.wanted) verify_.answer = std::move(done);
    changed_.notify_all();
}

void Wishes::finish_prove(Result<VerifyDone> done) {
    const std::lock_guard lock(mutex_);
    if (prove_.wanted) prove_.answer = std::move(done);
    changed_.notify_all();
}

void Wishes::finish_compare(CompareDone done) {
    const std::lock_guard lock(mutex_);
    if (compare_.wanted) compare_.answer = std::move(done);
    changed_.notify_all();
}

std::shared_ptr<Freezer> Wishes::take_seal() {
    const std::lock_guard lock(mutex_);
    return std::exchange(freezer_, nullptr);
}

void Wishes::finish_seal(Result<SealedPoint> done) {
    const std::lock_guard lock(mutex_);
    seal_.answer = std::move(done);
    changed_.notify_all();
}

bool Wishes::pause(std::int64_t ms) {
    std::unique_lock lock(mutex_);
    const bool woken =
        changed_.wait_for(lock, ms, [&] { return stopped_ || version_ != version_seen_; });
    version_seen_ = version_;
    return woken;
}

Result<> Wishes::delay(std::int64_t ms, std::uint64_t serial) {
    std::unique_lock lock(mutex_);
    const auto over = [&] { return stopped_ || desired_.ticket.serial != serial; };
    if (changed_.wait_for(lock, ms, over)) return cancelled();
    return {};
}

}  // namespace drover::replicator
