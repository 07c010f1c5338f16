// What holds for every lock that keeps words. (One that keeps none leaves the order of calls to the caller.) A law that
// a broken lock could hang in is for a child process.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <freestone/lock/concept.hpp>

namespace freestone::laws {

template <class L>
struct LockWords {
  static constexpr std::uint64_t canary = 0xC0FFEE00C0FFEE00;
  static constexpr std::size_t margin = 2;

  std::vector<std::uint64_t> words = std::vector<std::uint64_t>(L::words + margin, canary);

  bool kept_inside() const { return std::count(words.end() - margin, words.end(), canary) == margin; }
};

// While one holds it, another that came by its own view of the words waits; and gets in when it is opened.
struct OneAtATime {
  template <class L>
  static bool holds() {
    LockWords<L> notes;
    L mine = L::format(notes.words.data());
    std::atomic<bool> came = false;
    std::atomic<bool> entered = false;
    mine.lock();
    std::thread other([&] {
      L his = L::attach(notes.words.data());
      came = true;
      his.lock();
      entered = true;
      his.unlock();
    });
    while (!came) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const bool waited = !entered;
    mine.unlock();
    other.join();
    return waited && entered;
  }
};

// Many turns of several threads, through views and copies of them: what was done inside is seen by the next, none is
// lost.
struct TurnsFollowEachOther {
  template <class L>
  static bool holds() {
    constexpr std::uint64_t turns = 2'000;
    LockWords<L> notes;
    L mine = L::format(notes.words.data());
    std::atomic<std::uint64_t> count = 0;
    std::atomic<int> missing = 3;
    const auto work = [&](L view) {
      for (--missing; missing != 0;) std::this_thread::yield();
      for (std::uint64_t i = 0; i < turns; ++i) {
        view.lock();
        const std::uint64_t seen = count.load(std::memory_order_relaxed);
        if (i % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));  // whoever may come in, does
        count.store(seen + 1, std::memory_order_relaxed);
        view.unlock();
      }
    };
    std::vector<std::thread> threads;
    threads.emplace_back(work, mine);
    threads.emplace_back(work, L::attach(notes.words.data()));
    threads.emplace_back(work, mine);
    for (std::thread& thread : threads) thread.join();
    return count == 3 * turns;
  }
};

// Format makes an open lock of any words, and keeps to its own, as do all calls.
struct FormatOpensAndStaysInside {
  template <class L>
  static bool holds() {
    LockWords<L> notes;
    L lock = L::format(notes.words.data());
    lock.lock();
    lock.unlock();
    L again = L::attach(notes.words.data());
    again.lock();
    again.unlock();
    return notes.kept_inside();
  }
};

}  // namespace freestone::laws
