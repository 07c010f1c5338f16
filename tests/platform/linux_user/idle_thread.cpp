#include <freestone/platform/linux_user/idle_thread.hpp>

#include <pthread.h>
#include <sys/resource.h>
#include <signal.h>

#include <atomic>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

using namespace freestone::linux_user;

namespace {

void wait_for(const std::atomic<int>& number, int least) {
  while (number.load() < least) std::this_thread::yield();
}

}  // namespace

TEST_CASE("it works each time that it is woken, until there is nothing to do") {
  std::atomic<int> left = 0, done = 0, asked = 0;
  IdleThread idle;
  REQUIRE(idle.start([&] {
    ++asked;
    if (left.load() == 0) return false;
    return --left, ++done, true;
  }));
  CHECK(asked.load() == 0);
  left = 3;
  idle.wake();
  wait_for(done, 3);
  left = 2;
  idle.wake();
  wait_for(done, 5);
  CHECK(left.load() == 0);
}

TEST_CASE("it gives way to all others, and no signal is its own") {
  std::atomic<int> nice = -1;
  std::atomic<bool> is_blocked = false;
  IdleThread idle;
  REQUIRE(idle.start([&] {
    sigset_t blocked;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    is_blocked = ::sigismember(&blocked, SIGTERM) == 1;
    nice = ::getpriority(PRIO_PROCESS, 0);
    return false;
  }));
  idle.wake();
  wait_for(nice, 0);
  CHECK(nice.load() == 19);
  CHECK(::getpriority(PRIO_PROCESS, 0) != 19);
  CHECK(is_blocked.load());
  sigset_t own;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &own);
  CHECK(::sigismember(&own, SIGTERM) == 0);
}

TEST_CASE("it ends though there is always something to do, and where it never began") {
  std::atomic<int> done = 0;
  {
    IdleThread idle;
    REQUIRE(idle.start([&] { return ++done, true; }));
    idle.wake();
    wait_for(done, 1);
  }
  const int all = done.load();
  std::this_thread::yield();
  CHECK(done.load() == all);
  IdleThread never;
  never.wake();
}

TEST_CASE("many threads wake it at once, and nothing is left undone") {
  std::atomic<int> left = 0, done = 0;
  IdleThread idle;
  REQUIRE(idle.start([&] {
    if (left.load() == 0) return false;
    return --left, ++done, true;
  }));
  std::vector<std::thread> threads;
  for (int number = 0; number < 4; ++number) {
    threads.emplace_back([&] {
      for (int round = 0; round < 500; ++round) ++left, idle.wake();
    });
  }
  for (auto& thread : threads) thread.join();
  wait_for(done, 2000);
  CHECK(left.load() == 0);
}
