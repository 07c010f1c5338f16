#include <freestone/lock/os/mutex.hpp>

#include <doctest/doctest.h>

#include <array>
#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>

using namespace freestone;

TEST_CASE("one at a time, through any view of the words") {
  static_assert(Lock<lock::Mutex>);
  std::array<std::uint64_t, lock::Mutex::words> words{};
  lock::Mutex::format(words.data());
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      lock::Mutex mine = lock::Mutex::attach(words.data());
      for (int i = 0; i < 20'000; ++i) {
        mine.lock();
        ++counter;
        mine.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter == 80'000);
}
