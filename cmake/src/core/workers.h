// Threads that share the work on one image: rows of it, or its masks.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace edge_seg {

class Workers {
  public:
    // `threads` with the one that calls; so one means that nothing is started.
    explicit Workers(int threads = 1) : threads_(threads) {}
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    int threads() const { return threads_; }

    // Calls `work` with 0 to count - 1, shared between the threads, and returns when all is done. What one throws is
    // thrown. With several threads to be called by one at a time.
    void each(size_t count, const std::function<void(size_t)>& work);

  private:
    void start();
    void serve();
    void take_part(std::unique_lock<std::mutex>& lock);

    const int threads_;
    std::vector<std::thread> others_;  // started by the first work that can be shared

    std::mutex mutex_;
    std::condition_variable called_, done_;
    const std::function<void(size_t)>* work_ = nullptr;
    size_t count_ = 0, next_ = 0, finished_ = 0;
    std::exception_ptr problem_;
    bool ends_ = false;
};

}  // namespace edge_seg
