#include <freestone/lock/os/futex.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>

using namespace freestone;

namespace {

std::uint32_t state_of(const std::uint64_t& word) {
  return CompilerAtomics::load_acquire(*reinterpret_cast<const CompilerAtomics::Word*>(&word));
}

// Comes to a lock that is held, and has said so.
class Waiter {
 public:
  explicit Waiter(std::uint64_t& word)
      : thread_([&word] {
          lock::Futex his = lock::Futex::attach(&word);
          his.lock();
          his.unlock();
        }) {
    while (state_of(word) != 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // by now he most likely sleeps
  }
  ~Waiter() { thread_.join(); }

 private:
  std::thread thread_;
};

}  // namespace

TEST_CASE("zeros are an open lock") {
  static_assert(opens_as_zeros<lock::Futex>);
  std::uint64_t word = 0;
  lock::Futex::attach(&word).lock();
  CHECK(state_of(word) == 1);
  lock::Futex::attach(&word).unlock();
  std::uint64_t formatted = ~std::uint64_t{0};
  lock::Futex::format(&formatted);
  CHECK(state_of(word) == state_of(formatted));
}

TEST_CASE("one at a time, through any view of the word") {
  static_assert(Lock<lock::Futex> && lock::Futex::words == 1 && lock::Futex::process_shared);
  std::uint64_t word = ~std::uint64_t{0};
  lock::Futex::format(&word);
  long counter = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      lock::Futex mine = lock::Futex::attach(&word);
      for (int i = 0; i < 20'000; ++i) {
        mine.lock();
        ++counter;
        mine.unlock();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(counter == 80'000);
  CHECK(state_of(word) == 0);
}

TEST_CASE("open, held, and held while others wait") {
  std::uint64_t word = 0;
  lock::Futex mine = lock::Futex::format(&word);
  CHECK(state_of(word) == 0);
  mine.lock();
  CHECK(state_of(word) == 1);
  {
    const Waiter waiter(word);
    CHECK(state_of(word) == 2);
    mine.unlock();
  }
  CHECK(state_of(word) == 0);
}

TEST_CASE("whoever waits sleeps") {
  std::uint64_t word = 0;
  lock::Futex mine = lock::Futex::format(&word);
  mine.lock();
  {
    const Waiter waiter(word);
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    getrusage(RUSAGE_SELF, &after);
    const auto microseconds = [](const rusage& usage) {
      return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000L + usage.ru_utime.tv_usec +
             usage.ru_stime.tv_usec;
    };
    CHECK(microseconds(after) - microseconds(before) < 50'000);
    mine.unlock();
  }
}

TEST_CASE("format lets those in who sleep before a dead holder's door") {
  std::uint64_t word = 0;
  lock::Futex::format(&word).lock();
  const Waiter one(word);
  const Waiter other(word);
  lock::Futex::format(&word);
}
