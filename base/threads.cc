#include "base/threads.h"

#include <chrono>

namespace drover {

void Mutex::lock() {
    native_.lock();
}

void Mutex::unlock() {
    native_.unlock();
}

void Condition::notify_all() {
    native_.notify_all();
}

bool Condition::wait(std::unique_lock<Mutex>& lock) {
    std::unique_lock native(lock.mutex()->native_, std::adopt_lock);
    native_.wait(native);
    native.release();
    return true;
}

bool Condition::wait_until(std::unique_lock<Mutex>& lock, SteadyMillis deadline_ms) {
    const std::chrono::steady_clock::time_point deadline{std::chrono::milliseconds(deadline_ms)};
    std::unique_lock native(lock.mutex()->native_, std::adopt_lock);
    const auto status = native_.wait_until(native, deadline);
    native.release();
    return status == std::cv_status::no_timeout;
}

Thread::Thread(Body body)
    : native_(std::move(body)) {}

bool Thread::joinable() const {
    return native_.joinable();
}

void Thread::join() {
    native_.join();
}

void Thread::detach() {
    native_.detach();
}

void sleep_ms(std::int64_t ms) {
    std::this_thread::sleep_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(ms));
}

SteadyMillis monotonic_ms() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::ceil<std::chrono::milliseconds>(now).count();
}

}  // namespace drover
