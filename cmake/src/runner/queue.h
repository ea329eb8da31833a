// Hands things from one thread to the next, in order, and tells both when the other has ended.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>

namespace edge_seg {

// Holds whatever is put in: where memory must be bounded, the things themselves go round in a circle of queues.
template <typename T>
class Queue {
  public:
    void push(T thing) {
        const std::lock_guard lock(mutex_);
        things_.push_back(std::move(thing));
        changed_.notify_one();
    }

    // The next thing; nothing when it has ended and all before the end was taken. Throws what ended it.
    std::optional<T> pop() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ended_ || !things_.empty(); });
        if (things_.empty()) {
            if (problem_) std::rethrow_exception(problem_);
            return std::nullopt;
        }
        std::optional<T> thing(std::move(things_.front()));
        things_.pop_front();
        return thing;
    }

    // Nothing comes any more. The first end counts.
    void end(std::exception_ptr problem = nullptr) {
        const std::lock_guard lock(mutex_);
        if (ended_) return;
        ended_ = true;
        problem_ = std::move(problem);
        changed_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<T> things_;
    bool ended_ = false;
    std::exception_ptr problem_;
};

}  // namespace edge_seg
