// What holds for every lock that keeps words. (One that keeps none leaves the order of calls to the caller.) A law that
// a broken lock could hang in is for a child process.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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

// Words that child processes share.
class SharedWords {
 public:
  explicit SharedWords(std::size_t words) : bytes_(words * sizeof(std::uint64_t)) {
    words_ =
        static_cast<std::uint64_t*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  SharedWords(const SharedWords&) = delete;
  SharedWords& operator=(const SharedWords&) = delete;
  ~SharedWords() { munmap(words_, bytes_); }

  std::uint64_t* data() const { return words_; }

 private:
  std::size_t bytes_;
  std::uint64_t* words_;
};

// Starts a child that does that much and dies of a signal; of another one where it hangs. It
// does not outlive this process.
template <class Work>
pid_t start_mortal(Work work) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  alarm(60);
  work();
  for (;;) raise(SIGKILL);
}
inline bool has_died(pid_t child) {
  int status = 0;
  return waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

// For `process_shared`: turns of several processes that see the same words follow each other.
struct OrdersProcesses {
  template <class L>
  static bool holds() {
    constexpr std::uint64_t turns = 300;
    const SharedWords page(L::words + 2);
    L::format(page.data());
    std::atomic_ref<std::uint64_t> count(page.data()[L::words]);
    std::atomic_ref<std::uint64_t> there(page.data()[L::words + 1]);
    const auto work = [&] {
      L view = L::attach(page.data());
      for (++there; there.load() != 2;) std::this_thread::yield();
      for (std::uint64_t i = 0; i < turns; ++i) {
        view.lock();
        const std::uint64_t seen = count.load(std::memory_order_relaxed);
        if (i % 16 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));  // whoever may come in, does
        count.store(seen + 1, std::memory_order_relaxed);
        view.unlock();
      }
    };
    const pid_t one = start_mortal(work);
    const pid_t other = start_mortal(work);
    return has_died(one) && has_died(other) && count.load() == 2 * turns;
  }
};

// For `can_refuse`: its words are its own from format on, whether it is open or held, for other processes too, and
// where a holder died.
struct KnowsItsWords {
  template <class L>
  static bool holds() {
    const SharedWords page(L::words);
    const auto is_mine = [&] { return L::is_mine(page.data()); };
    L mine = L::format(page.data());
    bool holds = is_mine();
    mine.lock();
    const auto look = [&] {
      if (!is_mine()) _exit(1);
    };
    holds = is_mine() && has_died(start_mortal(look)) && holds;
    mine.unlock();
    if constexpr (reports_death<L>) holds = has_died(start_mortal([&] { L::attach(page.data()).lock(); })) && holds;
    return is_mine() && holds;
  }
};

// For `reports_death`: whoever comes after a holder that died is told and is inside; the next after him is not told. So
// it goes each time, also where the one who was told dies in his turn.
struct TellsOfDeath {
  template <class L>
  static bool holds() {
    const SharedWords page(L::words);
    L mine = L::format(page.data());
    const auto enter = [&] { L::attach(page.data()).lock(); };
    const auto answers = [&](LastHolder expected) {
      const bool as_expected = mine.lock() == expected;
      mine.unlock();
      return as_expected;
    };
    bool holds = answers(LastHolder::left);
    for (int deaths = 1; deaths <= 3; ++deaths) {
      for (int i = 0; i < deaths; ++i) holds = has_died(start_mortal(enter)) && holds;
      holds = answers(LastHolder::died) && answers(LastHolder::left) && holds;
    }
    return has_died(start_mortal([&] { enter(), L::attach(page.data()).unlock(); })) && answers(LastHolder::left) &&
           holds;
  }
};

}  // namespace freestone::laws
