#include "runner/queue.h"

#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

using edge_seg::Queue;

TEST_CASE("things come out in order, then the end") {
    Queue<int> queue;
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) queue.push(i);
        queue.end();
    });
    for (int i = 0; i < 1000; ++i) CHECK(queue.pop() == i);
    CHECK_FALSE(queue.pop().has_value());
    CHECK_FALSE(queue.pop().has_value());
    other.join();
}

TEST_CASE("what ended it is thrown behind all that came before; the first end counts") {
    Queue<int> queue;
    queue.push(1);
    queue.end(std::make_exception_ptr(std::out_of_range("")));
    queue.end();
    CHECK(queue.pop() == 1);
    CHECK_THROWS_AS(queue.pop(), std::out_of_range);
}
