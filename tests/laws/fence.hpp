// What holds for every fence. A model makes fences, signals them and does what should not matter to them
// (support/fences.hpp).
#pragma once

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include <freestone/heap/fence.hpp>

namespace freestone::laws {

// Not signalled before, however often one looks and whatever others do; then signalled for ever after.
struct SignalsOnceAndForEver {
  template <class M>
  static bool holds() {
    M model;
    auto first = model.fence();
    auto second = model.fence();
    for (int i = 0; i < 10; ++i) {
      if (first.has_signalled() || second.has_signalled()) return false;
      if (i % 3 == 2) model.others();
    }
    model.signal();
    for (int i = 0; i < 10; ++i) {
      if (!first.has_signalled() || !second.has_signalled()) return false;
      if (i % 3 == 2) model.others();
    }
    return true;
  }
};

struct MovesAsItIs {
  template <class M>
  static bool holds() {
    M model;
    auto first = model.fence();
    auto moved = std::move(first);
    if (moved.has_signalled()) return false;
    model.signal();
    if (!moved.has_signalled()) return false;
    auto again = std::move(moved);
    if (!again.has_signalled()) return false;
    auto assigned = model.fence();
    assigned = std::move(again);
    return assigned.has_signalled();
  }
};

// Several threads look at one fence while another signals it: for each of them it is signalled for ever once it is, and
// what was done before it signalled is seen (plain, so that what looks for races sees it too; where the kernel sees to
// the order it knows nothing of that).
struct ManyLook {
  template <class M>
  static bool holds() {
    M model;
    const auto fence = model.fence();
    int done_before = 0;
    std::atomic<bool> wrong = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        for (int looks = 0; !fence.has_signalled(); ++looks) {
          if (looks > 20'000) return wrong.store(true);
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        if (load<M>(done_before) != 1) wrong = true;
        for (int i = 0; i < 50; ++i) {
          if (!fence.has_signalled()) wrong = true;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    __atomic_store_n(&done_before, 1, __ATOMIC_RELAXED);
    model.signal();
    for (std::thread& thread : threads) thread.join();
    return !wrong;
  }

 private:
  template <class M>
  static int load(const int& value) {
    if constexpr (requires { M::by_kernel; }) return __atomic_load_n(&value, __ATOMIC_RELAXED);
    return value;
  }
};

// Of those that can wait: not longer than one may, and till it signals.
struct WaitsTillItSignals {
  template <class M>
  static bool holds() {
    using Clock = std::chrono::steady_clock;
    M model;
    const auto fence = model.fence();
    const auto begin = Clock::now();
    if (fence.wait(Timeout::milliseconds(0))) return false;
    if (fence.wait(Timeout::milliseconds(20))) return false;
    if (Clock::now() - begin < std::chrono::milliseconds(20)) return false;
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      model.signal();
    });
    const bool woken = fence.wait(Timeout::milliseconds(10'000));
    other.join();
    return woken && fence.has_signalled() && fence.wait(Timeout::milliseconds(0)) && fence.wait(Timeout::forever());
  }
};

// Of those that can break: this one does not.
struct IsWhole {
  template <class M>
  static bool holds() {
    M model;
    const auto fence = model.fence();
    const bool before = !fence.error();
    model.signal();
    return before && !fence.error();
  }
};

}  // namespace freestone::laws
