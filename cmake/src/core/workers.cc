#include "core/workers.h"

#include <utility>

namespace edge_seg {

Workers::~Workers() {
    {
        const std::lock_guard lock(mutex_);
        ends_ = true;
    }
    called_.notify_all();
    for (std::thread& other : others_) other.join();
}

void Workers::each(size_t count, const std::function<void(size_t)>& work) {
    if (threads_ <= 1 || count <= 1) {
        for (size_t i = 0; i < count; ++i) work(i);
        return;
    }
    if (others_.empty()) start();
    std::unique_lock lock(mutex_);
    work_ = &work;
    count_ = count, next_ = 0, finished_ = 0;
    called_.notify_all();
    take_part(lock);
    done_.wait(lock, [this] { return finished_ == count_; });
    work_ = nullptr;
    if (problem_) std::rethrow_exception(std::exchange(problem_, nullptr));
}

void Workers::start() {
    for (int i = 1; i < threads_; ++i) others_.emplace_back([this] { serve(); });
}

void Workers::serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
        called_.wait(lock, [this] { return ends_ || (work_ != nullptr && next_ < count_); });
        if (ends_) return;
        take_part(lock);
    }
}

void Workers::take_part(std::unique_lock<std::mutex>& lock) {
    while (next_ < count_) {
        const size_t mine = next_++;
        lock.unlock();
        std::exception_ptr problem;
        try {
            (*work_)(mine);
        } catch (...) {
            problem = std::current_exception();
        }
        lock.lock();
        if (problem) problem_ = problem;
        if (++finished_ == count_) done_.notify_all();
    }
}

}  // namespace edge_seg
