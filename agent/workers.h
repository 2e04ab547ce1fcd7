/// Where blocking work runs: one lane per key, tasks of a lane one after another, lanes side by
/// side.
#pragma once

#include "base/threads.h"

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace drover::agent {

class Workers {
  public:
    using Task = std::function<void()>;

    virtual ~Workers() = default;
    /// From any thread, also from a task. Never blocks.
    virtual void post(const std::string& lane, Task task) = 0;
};

/// A thread per lane while the lane has work.
class ThreadWorkers final : public Workers {
  public:
    ThreadWorkers() = default;
    ThreadWorkers(const ThreadWorkers&) = delete;
    ThreadWorkers& operator=(const ThreadWorkers&) = delete;

    ~ThreadWorkers() override { stop(); }

    void post(const std::string& lane, Task task) override;
    /// Drops what has not begun and waits for what has. Later posts are dropped.
    void stop();

  private:
    struct Lane {
        std::deque<Task> tasks;
        Thread thread;
        bool running = false;
    };

    void run(Lane& lane);

    Mutex mutex_;
    std::map<std::string, Lane> lanes_;  // node-based: a Lane stays where it is
    bool stopped_ = false;
};

/// Runs nothing by itself: the owner calls run_all(), and everything happens on its thread in the
/// order posted. For commands that work without a running agent, for tests and simulations.
class InlineWorkers final : public Workers {
  public:
    void post(const std::string& lane, Task task) override { tasks_.emplace_back(lane, task); }

    /// Also runs what the tasks post.
    void run_all();

    /// Drops everything, as the death of a process would.
    void clear() { tasks_.clear(); }

  private:
    std::deque<std::pair<std::string, Task>> tasks_;
};

}  // namespace drover::agent
