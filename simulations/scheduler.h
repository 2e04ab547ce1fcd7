/// One thread, many fibers, virtual time. Every thread of every simulated process is a fiber here;
/// whatever blocks in the product (a lock, a wait, a sleep, a link) switches fibers instead, and
/// time jumps to the next thing that is due. Nothing depends on the real clock, on addresses or on
/// real threads, so the same seed gives the same run.
///
///   ready fibers, in order (or shuffled by the seed) ─► none ready: the next timer ─► its time
///
/// A process is killed by unwinding its fibers with the exception Killed: from there on all it does
/// is destroy objects, and its calls into the world have no effect.
#pragma once

#include "base/clock.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <set>
#include <string_view>
#include <vector>

#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>

namespace drover::sim {

using Micros = std::int64_t;  ///< since the simulation began
using ProcessId = std::uint64_t;
constexpr ProcessId no_process = 0;
constexpr Micros never = INT64_MAX;

/// Unwinds a fiber whose process was killed. Only the scheduler catches it.
struct Killed {};

/// splitmix64, for decisions of the simulation itself.
class Dice {
  public:
    explicit Dice(std::uint64_t seed)
        : state_(seed) {}

    std::uint64_t next();

    std::uint64_t below(std::uint64_t bound) { return next() % bound; }

    /// Inclusive.
    std::int64_t between(std::int64_t low, std::int64_t high) {
        return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low + 1)));
    }

    bool one_in(std::uint64_t n) { return n != 0 && below(n) == 0; }

    /// An independent stream: what is drawn there does not shift what is drawn here.
    Dice fork(std::uint64_t stream) { return Dice(state_ ^ (stream * 0x9e3779b97f4a7c15ULL)); }

  private:
    std::uint64_t state_;
};

class Fiber;

class Scheduler {
  public:
    /// `shuffle`: which of several ready fibers runs is drawn, else first come, first served.
    Scheduler(std::uint64_t seed, bool shuffle);
    ~Scheduler();
    Scheduler(const Scheduler&) = delete;
    Scheduler& operator=(const Scheduler&) = delete;

    /// The one that exists; the substitutes of base/ have no other way to it.
    [[nodiscard]] static Scheduler& current();

    [[nodiscard]] Micros now() const { return now_; }

    /// `call` runs outside of any fiber and must not block.
    void at(Micros when, std::function<void()> call);

    void after(Micros delay, std::function<void()> call) { at(now_ + delay, std::move(call)); }

    [[nodiscard]] ProcessId new_process();
    [[nodiscard]] bool is_alive(ProcessId process) const;
    /// A fiber of `process`; runs when its turn comes. Nothing happens for a dead process.
    std::shared_ptr<Fiber> spawn(ProcessId process, std::function<void()> body);
    /// Ends a process at once: its fibers are unwound, the newest first, before this returns. If
    /// the caller is one of them it does not return, and goes first.
    void kill(ProcessId process);

    /// SIGSTOP: its fibers do not run, while time and the rest of the world go on.
    void freeze(ProcessId process) { frozen_.insert(process); }

    void thaw(ProcessId process);

    /// Runs until nothing is due before `until` or stop() was called.
    void run_until(Micros until);

    void stop() { stopped_ = true; }

    // ---- for fibers ----

    [[nodiscard]] Fiber* running() const { return running_; }

    [[nodiscard]] ProcessId running_process() const;
    /// Blocks the running fiber; false when `deadline` came first. Outside of a fiber, or in one
    /// that is being unwound, it returns false at once.
    bool wait(Micros deadline);
    void sleep(Micros time);
    /// Blocks until `fiber` has ended.
    void join(const std::shared_ptr<Fiber>& fiber);

    /// True, once it has ended, for a fiber of a process that was killed.
    bool end_if_dying(const std::shared_ptr<Fiber>& fiber);

    /// Names one wait of one fiber, so that a late wake-up cannot end another one.
    struct Waiter {
        std::weak_ptr<Fiber> fiber;
        std::uint64_t wait = 0;
    };

    /// Of the wait that the running fiber is about to begin.
    [[nodiscard]] Waiter next_wait() const;
    /// True if it still waited.
    bool wake(const Waiter& waiter);

    [[nodiscard]] std::uint64_t steps() const { return steps_; }

  private:
    void suspend(Micros deadline);

    /// What a timer does: calls, or ends a wait.
    struct Alarm {
        std::function<void()> call;
        std::weak_ptr<Fiber> fiber;
    };

    /// Small, because the queue moves them about; what they do stays in its place in alarms_.
    struct Timer {
        Micros when = 0;
        std::uint64_t order = 0;
        std::size_t alarm = 0;

        bool operator<(const Timer& other) const {
            return when != other.when ? when > other.when : order > other.order;
        }
    };

    struct Process {
        bool is_alive = true;
        std::vector<std::shared_ptr<Fiber>> fibers;
    };

    void add_timer(Micros when, Alarm alarm);
    void set_timer(const std::shared_ptr<Fiber>& fiber);
    void on_timer(const std::shared_ptr<Fiber>& fiber);
    [[nodiscard]] Alarm take_timer();

    void resume(const std::shared_ptr<Fiber>& fiber);
    void unwind(const std::shared_ptr<Fiber>& fiber);
    void reap();
    void check_killed();
    [[nodiscard]] std::shared_ptr<Fiber> take_ready();

    Dice dice_;
    bool shuffle_;
    Micros now_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t steps_ = 0;
    bool stopped_ = false;
    Fiber* running_ = nullptr;
    std::deque<std::shared_ptr<Fiber>> ready_;
    std::vector<std::shared_ptr<Fiber>> dying_;  ///< killed, to be unwound
    std::set<ProcessId> frozen_;
    std::vector<std::shared_ptr<Fiber>> held_back_;  ///< ready, but frozen
    std::priority_queue<Timer> timers_;
    std::vector<Alarm> alarms_;
    std::vector<std::size_t> free_alarms_;
    std::deque<Process> processes_;  ///< by id; the first is no_process
    boost::context::pooled_fixedsize_stack stacks_;
};

}  // namespace drover::sim
