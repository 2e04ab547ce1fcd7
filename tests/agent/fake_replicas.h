/// Replicas that do nothing but answer as told, and count.
#pragma once

#include "agent/replicas.h"

#include <memory>
#include <optional>

namespace drover::agent::testing {

/// What the replicas of a world have in common; outlives them, as their state files would.
struct ReplicaWorld {
    std::uint64_t tracker_seq = 100;
    std::uint64_t backlog = 0;
    std::optional<Error> settle_error;
    std::optional<Error> mark_error;
    std::optional<Error> drain_error;
    std::optional<Error> prove_error;
    std::optional<Error> promote_error;
    std::optional<Error> open_error;
    std::uint64_t mark_step = 0;  ///< writes that complete between any two looks
    int sources_opened = 0;
    int sources_stopped = 0;
    int sources_forgotten = 0;
    int targets_opened = 0;
    int promotions = 0;
    std::vector<replicator::BatchMark> points;  ///< that the target's journal has
    std::optional<Error> test_error;
    bool in_test = false;
    std::vector<std::uint64_t> restored;  ///< points the target was taken back to
    int updates = 0;
    ReplicateMode mode = ReplicateMode::transfer;
    replicator::SourceObserver* observer = nullptr;
    std::function<void()> during_drain;
    int verified = 0;
    int proved = 0;
    int compare_rounds = 1;  ///< until the comparison is over
    std::optional<Error> compare_error;
    std::function<void()> during_compare;
};

class FakeSource final : public replicator::SourceReplica {
  public:
    explicit FakeSource(ReplicaWorld& world)
        : world_(world) {}

    void update(const Ticket&, ReplicateMode mode, const Limits&, bool) override {
        ++world_.updates;
        world_.mode = mode;
    }

    std::uint64_t backlog_bytes() override { return world_.backlog; }

    Result<> settle(std::uint64_t, std::int64_t) override {
        if (world_.settle_error) return *world_.settle_error;
        return {};
    }

    Result<replicator::FenceMark> fence_mark() override {
        if (world_.mark_error) return *world_.mark_error;
        world_.tracker_seq += world_.mark_step;
        return replicator::FenceMark{world_.tracker_seq, {world_.tracker_seq}};
    }

    Result<DrainDone> drain(std::span<const ByteRange>) override {
        if (world_.during_drain) world_.during_drain();
        if (world_.drain_error) return *world_.drain_error;
        return DrainDone{7, 4096};
    }

    Result<VerifyDone> verify() override {
        ++world_.verified;
        return VerifyDone{};
    }

    Result<VerifyDone> prove() override {
        ++world_.proved;
        if (world_.prove_error) return *world_.prove_error;
        return VerifyDone{std::vector<DiskProof>(1), {}};
    }

    Result<std::optional<CompareDone>> compare(std::int64_t) override {
        if (world_.during_compare) world_.during_compare();
        if (world_.compare_error) return *world_.compare_error;
        if (--world_.compare_rounds > 0) return std::optional<CompareDone>();
        return std::optional(CompareDone{{DiskProof{}}, {}, {}});
    }

    Result<replicator::SealedPoint> seal_point(std::shared_ptr<replicator::Freezer>,
                                               std::int64_t) override {
        return replicator::SealedPoint{7, 1700, PointKind::application, 35};
    }

    void stop() override { ++world_.sources_stopped; }

    void forget() override { ++world_.sources_forgotten; }

  private:
    ReplicaWorld& world_;
};

class FakeTarget final : public replicator::TargetReplica {
  public:
    explicit FakeTarget(ReplicaWorld& world)
        : world_(world) {}

    void serve_control(std::unique_ptr<wire::Link>, Bytes) override {}

    void serve_bulk(std::unique_ptr<wire::Link>, Bytes) override {}

    void update(const Ticket&, bool) override { ++world_.updates; }

    replicator::TargetProgress progress() override {
        replicator::TargetProgress progress;
        progress.points = world_.points;
        progress.promoted = world_.promotions > 0;
        return progress;
    }

    Result<> promote() override {
        if (world_.promote_error) return *world_.promote_error;
        ++world_.promotions;
        return {};
    }

    Result<> restore_point(std::uint64_t batch) override {
        world_.restored.push_back(batch);
        return {};
    }

    Result<replicator::BatchMark> begin_test(std::int64_t) override {
        if (world_.test_error) return *world_.test_error;
        world_.in_test = true;
        return replicator::BatchMark{7, true, 1700, {}, PointKind::filesystem};
    }

    Result<> end_test() override {
        world_.in_test = false;
        return {};
    }

    void forget() override {}

  private:
    ReplicaWorld& world_;
};

class FakeReplicas final : public ReplicaFactory {
  public:
    explicit FakeReplicas(ReplicaWorld& world)
        : world_(world) {}

    Result<std::unique_ptr<replicator::SourceReplica>> open_source(
        replicator::SourceConfig, replicator::SourceObserver& observer) override {
        if (world_.open_error) return *world_.open_error;
        ++world_.sources_opened;
        world_.observer = &observer;
        return std::unique_ptr<replicator::SourceReplica>(std::make_unique<FakeSource>(world_));
    }

    Result<std::unique_ptr<replicator::TargetReplica>> open_target(
        replicator::TargetConfig) override {
        if (world_.open_error) return *world_.open_error;
        ++world_.targets_opened;
        return std::unique_ptr<replicator::TargetReplica>(std::make_unique<FakeTarget>(world_));
    }

  private:
    ReplicaWorld& world_;
};

class FakePeers final : public PeerNetwork {
  public:
    bool listening = false;

    Result<replicator::PeerLinks> dial(const Endpoint&, const std::string&) override {
        return Error(Errc::unavailable, "no_network", "there is none");
    }

    replicator::PeerGate::Find find;

    Result<> listen(replicator::PeerGate::Find found_by) override {
        listening = true;
        find = std::move(found_by);
        return {};
    }

    void stop_listening() override { listening = false; }
};

}  // namespace drover::agent::testing
