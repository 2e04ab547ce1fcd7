/// What the benchmark's process asks of the target's, over the socket between the two. A socket
/// that ends, on either side, ends the process: see fail().
#pragma once

#include "base/fd.h"
#include "bench/replica_pair.h"
#include "replicator/target_replica.h"

#include <type_traits>
#include <vector>

namespace drover::bench {

enum class Question : std::uint64_t { watch_points, points_seen, points_kept, restore };

void send_bytes(const Fd& to, const void* data, std::size_t bytes);
void receive_bytes(const Fd& from, void* data, std::size_t bytes);

template <class T>
void send(const Fd& to, const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    send_bytes(to, &value, sizeof value);
}

template <class T>
void receive(const Fd& from, T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    receive_bytes(from, &value, sizeof value);
}

// ---- the benchmark's side ----

void ask_to_watch(const Fd& target);
[[nodiscard]] std::vector<Point> ask_points(const Fd& target, Question which);
void ask_restore(const Fd& target, std::uint64_t batch);

// ---- the target's side ----

/// Until it is killed, or the benchmark's process is gone.
[[noreturn]] void answer_questions(const Fd& parent, replicator::TargetReplica& target);

}  // namespace drover::bench
