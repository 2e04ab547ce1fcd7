/// What other threads want of the replica's thread, and how they wait for it: the only state that
/// both sides touch. Thread-safe.
#pragma once

#include "base/result.h"
#include "base/threads.h"
#include "replicator/freezer.h"
#include "schemas/model.h"
#include "wire/link.h"

#include <memory>
#include <optional>
#include <vector>

namespace drover::replicator {

class Wishes {
  public:
    struct Desired {
        Ticket ticket;
        ReplicateMode mode = ReplicateMode::transfer;
        Limits limits;
        bool overwrite_acknowledged = false;
    };

    explicit Wishes(Desired desired)
        : desired_(std::move(desired)) {}

    // ---- for other threads ----

    /// Ignored if the serial is lower. A higher serial ends the connection.
    void update(Desired desired);
    /// Ends every wait with cancelled, and the connection.
    void stop();

    [[nodiscard]] Result<> wait_settled(std::uint64_t backlog_bytes_max, std::int64_t timeout_ms);
    /// `sent_before`: payload bytes sent when the drain was asked for.
    [[nodiscard]] Result<DrainDone> wait_drained(std::uint64_t sent_before);
    [[nodiscard]] Result<VerifyDone> wait_verified();
    [[nodiscard]] Result<VerifyDone> wait_proved();
    /// nullopt: still under way after `ms`; ask again.
    [[nodiscard]] Result<std::optional<CompareDone>> wait_compared(std::int64_t ms);
    /// Waits at most `timeout_ms` for it to begin. The freezer is shared with the replica's thread,
    /// which may still be thawing when the caller was stopped.
    [[nodiscard]] Result<SealedPoint> wait_sealed(std::shared_ptr<Freezer> freezer,
                                                  std::int64_t timeout_ms);

    // ---- for the replica's thread ----

    [[nodiscard]] Desired desired() const;
    [[nodiscard]] bool stopped() const;
    [[nodiscard]] bool drain_wanted() const;
    [[nodiscard]] bool verify_wanted() const;
    [[nodiscard]] bool prove_wanted() const;
    [[nodiscard]] bool compare_wanted() const;
    /// Somebody waits: do not pause between passes.
    [[nodiscard]] bool is_hurried() const;
    /// Nothing is wanted that needs a connection.
    [[nodiscard]] bool is_quiet() const;
    /// Passes are wanted: by the mode or by a drain.
    [[nodiscard]] bool wants_passes() const;
    /// True once the connection of a ticket with this serial must not be used any more.
    [[nodiscard]] bool is_over(std::uint64_t serial) const;

    /// While it lives, stop() and update() may abort these links.
    class Attachment {
      public:
        Attachment(Wishes& wishes, wire::Link& control, wire::Link& bulk);
        ~Attachment();
        Attachment(const Attachment&) = delete;
        Attachment& operator=(const Attachment&) = delete;

        /// One more bulk link. If the connection is over already, the others say so.
        void add(wire::Link& link);

      private:
        Wishes& wishes_;
    };

    void note_pass_begun();
    /// `backlog_bytes` as measured by the pass that began last; nullopt if it says nothing yet.
    void note_pass(std::optional<std::uint64_t> backlog_bytes);
    /// `done.bytes`: payload bytes sent until now.
    void finish_drain(DrainDone done);
    /// The reason why neither a drain nor a verification that is waited for can succeed.
    void fail_requests(const Error& error);
    void finish_verify(Result<VerifyDone> done);
    void finish_prove(Result<VerifyDone> done);
    void finish_compare(CompareDone done);
    /// The freezer of a point that is asked for, once: from here on it has begun. Null: none is.
    [[nodiscard]] std::shared_ptr<Freezer> take_seal();
    void finish_seal(Result<SealedPoint> done);
    /// Sleeps; returns early, and true, when something was wanted anew since the last pause.
    bool pause(std::int64_t ms);
    /// Sleeps; returns early only for stop() or a new serial. Errors: cancelled.
    [[nodiscard]] Result<> delay(std::int64_t ms, std::uint64_t serial);

  private:
    template <class T>
    struct Request {
        bool wanted = false;
        std::optional<Result<T>> answer;

        [[nodiscard]] bool is_open() const { return wanted && !answer; }
    };

    template <class T>
    [[nodiscard]] Result<T> wait_for(std::unique_lock<Mutex>& lock, Request<T>& request);

    void abort_links();

    mutable Mutex mutex_;
    Condition changed_;
    Desired desired_;
    bool stopped_ = false;
    std::uint64_t version_ = 0;       ///< counts what could end a pause
    std::uint64_t version_seen_ = 0;  ///< at the end of the last pause
    std::vector<wire::Link*> links_;
    Request<DrainDone> drain_;
    std::uint64_t sent_before_drain_ = 0;
    Request<VerifyDone> verify_;
    Request<VerifyDone> prove_;
    Request<CompareDone> compare_;
    Request<SealedPoint> seal_;
    std::shared_ptr<Freezer> freezer_;  ///< until the request has begun
    int settling_ = 0;
    std::uint64_t passes_begun_ = 0;
    std::uint64_t pass_measured_ = 0;  ///< number of the last pass that measured
    std::uint64_t backlog_bytes_ = 0;
};

}  // namespace drover::replicator
