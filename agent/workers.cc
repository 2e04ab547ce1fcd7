#include "agent/workers.h"

namespace drover::agent {

void ThreadWorkers::post(const std::string& lane_name, Task task) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    Lane& lane = lanes_[lane_name];
    lane.tasks.push_back(std::move(task));
    if (lane.running) return;
    // An earlier thread of this lane gave up `running` as its last act and is about to end.
    if (lane.thread.joinable()) lane.thread.join();
    lane.running = true;
    lane.thread = Thread([this, &lane] { run(lane); });
}

void ThreadWorkers::run(Lane& lane) {
    for (;;) {
        Task task;
        {
            const std::lock_guard lock(mutex_);
            if (lane.tasks.empty()) {
                lane.running = false;
                return;
            }
            task = std::move(lane.tasks.front());
            lane.tasks.pop_front();
        }
        task();
    }
}

void ThreadWorkers::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        for (auto& [name, lane] : lanes_) lane.tasks.clear();
    }
    // After stopped_ no lane is added and no thread is started, so the map can be walked unlocked.
    for (auto& [name, lane] : lanes_)
        if (lane.thread.joinable()) lane.thread.join();
}

void InlineWorkers::run_all() {
    while (!tasks_.empty()) {
        const Task task = std::move(tasks_.front().second);
        tasks_.pop_front();
        task();
    }
}

}  // namespace drover::agent
