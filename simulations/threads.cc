// The simulator's base/threads.h: fibers, in virtual time. The state of a lock is kept beside it,
// because its layout is the product's.
#include "base/threads.h"

#include "simulations/scheduler.h"

#include <unordered_map>
#include <vector>

namespace drover {
namespace {

using sim::Fiber;
using sim::Scheduler;

struct Held {
    const Fiber* owner = nullptr;
    std::vector<Scheduler::Waiter> waiting;  ///< in the order in which they came
};

/// Looked up by address and never walked, so their order has no influence.
std::unordered_map<const Mutex*, Held> held_mutexes;
std::unordered_map<const Condition*, std::vector<Scheduler::Waiter>> waiting_conditions;

sim::Micros micros_of(SteadyMillis ms) {
    return ms > sim::never / 1000 ? sim::never : ms * 1000;
}

}  // namespace

void Mutex::lock() {
    Scheduler& scheduler = Scheduler::current();
    for (;;) {
        const auto [entry, taken] = held_mutexes.try_emplace(this);
        if (taken || entry->second.owner == nullptr) {
            entry->second.owner = scheduler.running();
            return;
        }
        const Scheduler::Waiter self = scheduler.next_wait();
        entry->second.waiting.push_back(self);
        // A dying fiber does not wait: nothing that it does has an effect any more.
        if (!scheduler.wait(sim::never)) return;
    }
}

void Mutex::unlock() {
    const auto found = held_mutexes.find(this);
    if (found == held_mutexes.end()) return;
    auto waiting = std::move(found->second.waiting);
    for (auto next = waiting.begin(); next != waiting.end(); ++next) {
        if (!Scheduler::current().wake(*next)) continue;
        found->second.owner = nullptr;
        found->second.waiting.assign(std::next(next), waiting.end());
        return;
    }
    held_mutexes.erase(found);
}

void Condition::notify_all() {
    const auto found = waiting_conditions.find(this);
    if (found == waiting_conditions.end()) return;
    const auto waiting = std::move(found->second);
    waiting_conditions.erase(found);
    for (const Scheduler::Waiter& waiter : waiting) (void)Scheduler::current().wake(waiter);
}

bool Condition::wait(std::unique_lock<Mutex>& lock) {
    return wait_until(lock, sim::never / 1000 + 1);
}

bool Condition::wait_until(std::unique_lock<Mutex>& lock, SteadyMillis deadline_ms) {
    Scheduler& scheduler = Scheduler::current();
    waiting_conditions[this].push_back(scheduler.next_wait());
    lock.mutex()->unlock();
    const bool woken = scheduler.wait(micros_of(deadline_ms));
    lock.mutex()->lock();
    return woken;
}

Thread::Thread(Body body)
    : simulated_(
          Scheduler::current().spawn(Scheduler::current().running_process(), std::move(body))) {}

bool Thread::joinable() const {
    if (simulated_ == nullptr) return false;
    // In a dying process nobody joins in order any more, but its threads have to end before what
    // they use does.
    const auto fiber = std::static_pointer_cast<Fiber>(simulated_);
    return !Scheduler::current().end_if_dying(fiber);
}

void Thread::join() {
    Scheduler::current().join(std::static_pointer_cast<Fiber>(simulated_));
    simulated_.reset();
}

void Thread::detach() {
    simulated_.reset();
}

void sleep_ms(std::int64_t ms) {
    Scheduler::current().sleep(ms * 1000);
}

SteadyMillis monotonic_ms() {
    return Scheduler::current().now() / 1000;
}

}  // namespace drover
