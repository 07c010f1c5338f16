#include <freestone/lock/os/process_shared.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>
#include "support/child.hpp"

using namespace freestone;

namespace {

using Words = std::array<std::uint64_t, lock::ProcessShared::words>;

// A thread that ends inside.
void die_inside(Words& words) {
  std::thread([&] { lock::ProcessShared::attach(words.data()).lock(); }).join();
}

}  // namespace

TEST_CASE("one at a time, through any view of the words") {
  static_assert(Lock<lock::ProcessShared> && reports_death<lock::ProcessShared> && lock::ProcessShared::process_shared);
  Words words{};
  lock::ProcessShared::format(words.data());
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      lock::ProcessShared mine = lock::ProcessShared::attach(words.data());
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

TEST_CASE("a thread that ends inside is a dead holder, each time anew") {
  Words words{};
  lock::ProcessShared mine = lock::ProcessShared::format(words.data());
  for (int i = 0; i < 100; ++i) {
    die_inside(words);
    CHECK(mine.lock() == LastHolder::died);
    mine.unlock();
    CHECK(mine.lock() == LastHolder::left);
    mine.unlock();
  }
}

TEST_CASE("of those who wait while the holder dies exactly one is told, and all get in") {
  Words words{};
  lock::ProcessShared::format(words.data());
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> is_held = false;
    std::atomic<int> waiting = 0;
    std::atomic<int> told = 0;
    std::thread holder([&] {
      lock::ProcessShared::attach(words.data()).lock();
      is_held = true;
      while (waiting != 2) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    while (!is_held) std::this_thread::yield();
    const auto wait = [&] {
      lock::ProcessShared mine = lock::ProcessShared::attach(words.data());
      ++waiting;
      if (mine.lock() == LastHolder::died) ++told;
      mine.unlock();
    };
    std::thread one(wait), other(wait);
    holder.join(), one.join(), other.join();
    CHECK(told == 1);
  }
}
