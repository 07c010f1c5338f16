#include <freestone/lock/spin.hpp>

#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>

using namespace freestone;

TEST_CASE("one at a time, through any view of the word") {
  static_assert(Lock<lock::Spin>);
  std::uint64_t word = ~std::uint64_t{0};
  lock::Spin::format(&word);
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      lock::Spin mine = lock::Spin::attach(&word);
      for (int i = 0; i < 20'000; ++i) {
        mine.lock();
        ++counter;
        mine.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter == 80'000);
  CHECK(word == 0);
}
