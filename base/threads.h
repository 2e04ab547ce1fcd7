/// Threads, locks and waiting for the parts that also run in the simulator: the product links
/// threads.cc, which passes everything on to the standard library; the simulator links its own
/// scheduler in its place, in virtual time and one thread. So nothing here may be bypassed there.
#pragma once

#include "base/clock.h"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace drover {

/// For std::lock_guard and std::unique_lock.
class Mutex {
  public:
    Mutex() = default;
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    void lock();
    void unlock();

  private:
    friend class Condition;
    std::mutex native_;
};

class Condition {
  public:
    Condition() = default;
    Condition(const Condition&) = delete;
    Condition& operator=(const Condition&) = delete;

    void notify_all();

    /// May return early, as every condition variable. False only in a simulated process that was
    /// killed: nobody will ever notify it.
    bool wait(std::unique_lock<Mutex>& lock);
    /// False once `deadline_ms` (of monotonic_ms()) has passed.
    bool wait_until(std::unique_lock<Mutex>& lock, SteadyMillis deadline_ms);

    template <class Predicate>
    void wait(std::unique_lock<Mutex>& lock, Predicate ready) {
        while (!ready())
            if (!wait(lock)) return;
    }

    /// What `ready` says in the end.
    template <class Predicate>
    bool wait_for(std::unique_lock<Mutex>& lock, std::int64_t ms, Predicate ready);

  private:
    std::condition_variable native_;
};

/// Must be joined or detached before it is destroyed.
class Thread {
  public:
    Thread() = default;

    template <class Function,
              class = std::enable_if_t<!std::is_same_v<std::decay_t<Function>, Thread>>>
    explicit Thread(Function&& function)
        : Thread(Body([shared = std::make_shared<std::decay_t<Function>>(
                           std::forward<Function>(function))] { (*shared)(); })) {}

    [[nodiscard]] bool joinable() const;
    void join();
    /// Lets it end by itself, for one that may never end because a file system does not answer. It
    /// must own everything that it uses.
    void detach();

  private:
    using Body = std::function<void()>;
    explicit Thread(Body body);

    std::thread native_;
    std::shared_ptr<void> simulated_;  ///< the simulator's own
};

void sleep_ms(std::int64_t ms);

/// A clock that never steps, for deadlines of waits. Starts anywhere.
[[nodiscard]] SteadyMillis monotonic_ms();

template <class Predicate>
bool Condition::wait_for(std::unique_lock<Mutex>& lock, std::int64_t ms, Predicate ready) {
    const SteadyMillis deadline_ms = monotonic_ms() + ms;
    while (!ready())
        if (!wait_until(lock, deadline_ms)) return ready();
    return true;
}

}  // namespace drover
