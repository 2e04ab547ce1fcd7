#include "simulations/scheduler.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace drover::sim {
namespace {

constexpr std::size_t stack_bytes = 256U << 10;
constexpr std::size_t stacks_grown_at_once = 16;

Scheduler* the_scheduler = nullptr;

}  // namespace

std::uint64_t Dice::next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

class Fiber : public std::enable_shared_from_this<Fiber> {
  public:
    Fiber(ProcessId a_process, std::function<void()> a_body)
        : process(a_process),
          body(std::move(a_body)) {}

    const ProcessId process;
    std::function<void()> body;  ///< empty once it runs
    boost::context::fiber stack;
    boost::context::fiber resumer;
    std::uint64_t wait = 0;   ///< counts its waits
    Micros deadline = never;  ///< of the wait
    /// When the next of its timers comes. It may come before the deadline: then another one is set.
    Micros timer_at = never;
    bool waiting = false;
    bool woken = false;
    bool killed = false;
    bool unwinding = false;
    bool done = false;
    std::vector<Scheduler::Waiter> joining;
};

Scheduler::Scheduler(std::uint64_t seed, bool shuffle)
    : dice_(seed),
      shuffle_(shuffle),
      stacks_(stack_bytes, stacks_grown_at_once) {
    DROVER_ASSERT(the_scheduler == nullptr);
    processes_.push_back({.is_alive = false, .fibers = {}});
    the_scheduler = this;
}

Scheduler::~Scheduler() {
    for (ProcessId process = 0; process < processes_.size(); ++process) kill(process);
    the_scheduler = nullptr;
}

Scheduler& Scheduler::current() {
    DROVER_ASSERT(the_scheduler != nullptr);
    return *the_scheduler;
}

void Scheduler::at(Micros when, std::function<void()> call) {
    add_timer(when, {std::move(call), {}});
}

void Scheduler::add_timer(Micros when, Alarm alarm) {
    std::size_t at = alarms_.size();
    if (free_alarms_.empty()) {
        alarms_.push_back(std::move(alarm));
    } else {
        at = free_alarms_.back();
        free_alarms_.pop_back();
        alarms_[at] = std::move(alarm);
    }
    timers_.push({std::max(when, now_), ++order_, at});
}

/// The next one, at its time.
Scheduler::Alarm Scheduler::take_timer() {
    const Timer timer = timers_.top();
    timers_.pop();
    now_ = timer.when;
    free_alarms_.push_back(timer.alarm);
    return std::exchange(alarms_[timer.alarm], {});
}

ProcessId Scheduler::new_process() {
    processes_.emplace_back();
    return processes_.size() - 1;
}

bool Scheduler::is_alive(ProcessId process) const {
    return process < processes_.size() && processes_[process].is_alive;
}

ProcessId Scheduler::running_process() const {
    return running_ != nullptr ? running_->process : no_process;
}

std::shared_ptr<Fiber> Scheduler::spawn(ProcessId process, std::function<void()> body) {
    auto fiber = std::make_shared<Fiber>(process, std::move(body));
    if (!is_alive(process)) {
        fiber->done = true;
        return fiber;
    }
    // The ended ones are dropped now and then, not one by one.
    auto& fibers = processes_[process].fibers;
    if (fibers.size() >= 16 && std::has_single_bit(fibers.size()))
        std::erase_if(fibers, [](const auto& old) { return old->done; });
    fibers.push_back(fiber);
    ready_.push_back(fiber);
    return fiber;
}

void Scheduler::resume(const std::shared_ptr<Fiber>& fiber) {
    if (fiber->done) return;
    ++steps_;
    Fiber* const before = std::exchange(running_, fiber.get());
    if (fiber->body) {
        Fiber& self = *fiber;
        self.stack = boost::context::fiber(
            std::allocator_arg, stacks_, [&self](boost::context::fiber&& resumer) {
                self.resumer = std::move(resumer);
                try {
                    // The closure ends with the thread, on its own stack.
                    const auto body = std::exchange(self.body, nullptr);
                    body();
                } catch (const Killed&) {
                }
                self.done = true;
                return std::move(self.resumer);
            });
    }
    fiber->stack = std::move(fiber->stack).resume();
    running_ = before;
    if (!fiber->done) return;
    for (const Waiter& waiter : std::exchange(fiber->joining, {})) wake(waiter);
}

void Scheduler::unwind(const std::shared_ptr<Fiber>& fiber) {
    if (fiber->done || fiber->unwinding) return;
    fiber->killed = true;
    if (fiber->body) {
        fiber->done = true;
        fiber->body = nullptr;
        return;
    }
    resume(fiber);
    DROVER_ASSERT(fiber->done);
}

void Scheduler::kill(ProcessId process) {
    if (!is_alive(process)) return;
    processes_[process].is_alive = false;
    const auto fibers = std::exchange(processes_[process].fibers, {});
    for (const auto& fiber : fibers) fiber->killed = true;
    dying_.insert(dying_.end(), fibers.begin(), fibers.end());
    // The caller goes first, if it is one of them: the others may wait for its end.
    check_killed();
    reap();
}

/// Ends the fibers of killed processes, the newest first.
void Scheduler::reap() {
    while (!dying_.empty()) {
        const auto fiber = std::move(dying_.back());
        dying_.pop_back();
        unwind(fiber);
    }
}

void Scheduler::check_killed() {
    if (running_ == nullptr || !running_->killed || running_->unwinding) return;
    running_->unwinding = true;
    throw Killed();
}

std::shared_ptr<Fiber> Scheduler::take_ready() {
    if (shuffle_ && ready_.size() > 1)
        std::swap(ready_.front(), ready_[dice_.below(ready_.size())]);
    auto fiber = std::move(ready_.front());
    ready_.pop_front();
    return fiber;
}

void Scheduler::run_until(Micros until) {
    DROVER_ASSERT(running_ == nullptr);
    stopped_ = false;
    while (!stopped_) {
        reap();
        if (!ready_.empty()) {
            auto fiber = take_ready();
            if (!frozen_.empty() && frozen_.contains(fiber->process))
                held_back_.push_back(std::move(fiber));
            else
                resume(fiber);
            continue;
        }
        if (timers_.empty() || timers_.top().when > until) break;
        const Alarm alarm = take_timer();
        if (alarm.call) {
            ++steps_;
            alarm.call();
            continue;
        }
        if (const auto fiber = alarm.fiber.lock()) on_timer(fiber);
    }
    if (!stopped_ && until != never) now_ = std::max(now_, until);
}

void Scheduler::on_timer(const std::shared_ptr<Fiber>& fiber) {
    if (fiber->timer_at <= now_) fiber->timer_at = never;
    if (!fiber->waiting || fiber->deadline == never) return;
    if (fiber->deadline > now_) return set_timer(fiber);
    fiber->waiting = false;
    ready_.push_back(fiber);
}

/// Most waits are ended by something else, so most timers find nothing to do: a fiber has one for
/// all its waits.
void Scheduler::set_timer(const std::shared_ptr<Fiber>& fiber) {
    if (fiber->timer_at <= fiber->deadline) return;
    fiber->timer_at = std::max(fiber->deadline, now_);
    add_timer(fiber->timer_at, {{}, fiber});
}

void Scheduler::thaw(ProcessId process) {
    if (frozen_.erase(process) == 0) return;
    for (auto& fiber : std::exchange(held_back_, {})) {
        if (fiber->process == process)
            ready_.push_back(std::move(fiber));
        else
            held_back_.push_back(std::move(fiber));
    }
}

Scheduler::Waiter Scheduler::next_wait() const {
    if (running_ == nullptr) return {};
    return {running_->weak_from_this(), running_->wait + 1};
}

bool Scheduler::wake(const Waiter& waiter) {
    const auto fiber = waiter.fiber.lock();
    if (!fiber || !fiber->waiting || fiber->wait != waiter.wait) return false;
    fiber->waiting = false;
    fiber->woken = true;
    ready_.push_back(fiber);
    return true;
}

bool Scheduler::wait(Micros deadline) {
    if (running_ == nullptr || running_->unwinding) return false;
    check_killed();
    suspend(deadline);
    check_killed();
    return running_->woken;
}

void Scheduler::suspend(Micros deadline) {
    Fiber& self = *running_;
    ++self.wait;
    self.waiting = true;
    self.woken = false;
    self.deadline = deadline;
    if (deadline != never) set_timer(self.shared_from_this());
    self.resumer = std::move(self.resumer).resume();
    self.waiting = false;
}

void Scheduler::sleep(Micros time) {
    (void)wait(now_ + time);
}

bool Scheduler::end_if_dying(const std::shared_ptr<Fiber>& fiber) {
    if (!fiber->killed && is_alive(fiber->process)) return false;
    unwind(fiber);
    return true;
}

void Scheduler::join(const std::shared_ptr<Fiber>& fiber) {
    // A dying process's destructors wait for threads that have to die first.
    if (running_ == nullptr || running_->unwinding) return (void)end_if_dying(fiber);
    while (!fiber->done) {
        // Often in a destructor, which must not throw: what was killed goes on to its next step.
        if (running_->killed) return (void)end_if_dying(fiber);
        fiber->joining.push_back(next_wait());
        suspend(never);
    }
}

}  // namespace drover::sim
