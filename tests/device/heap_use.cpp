#include <freestone/device/heap_use.hpp>

#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <freestone/lock/none.hpp>
#include <freestone/lock/os/futex.hpp>

using namespace freestone;
using namespace freestone::device;

TEST_CASE("shares count while they live, wherever they move, and what they came to at most stays") {
  HeapUse<lock::None> use;
  using Share = HeapUse<lock::None>::Share;
  CHECK(use.figures().buffers == 0);
  {
    Share one(use, 4096);
    Share moved(std::move(one));
    CHECK(use.figures().buffers == 1);
    CHECK(use.figures().bytes == 4096);
    Share other(use, 8192);
    CHECK(use.figures().buffers == 2);
    CHECK(use.figures().bytes == 12288);
    moved = std::move(other);
    CHECK(use.figures().bytes == 12288);
  }
  CHECK(use.figures().buffers == 0);
  CHECK(use.figures().bytes == 0);
  CHECK(use.figures().most_bytes == 12288);
  const Share less(use, 4096);
  CHECK(use.figures().most_bytes == 12288);
}

TEST_CASE("threads that come and go at once count right") {
  HeapUse<lock::Futex> use;
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&] {
      for (int round = 0; round < 1000; ++round) const HeapUse<lock::Futex>::Share share(use, 4096);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(use.figures().buffers == 0);
  CHECK(use.figures().bytes == 0);
  CHECK(use.figures().most_bytes.value() >= 4096);
  CHECK(use.figures().most_bytes.value() <= 4 * 4096);
}
