// Locks for the laws: the smallest legal one, an unpleasant one, and one for each way to be wrong.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <freestone/core/seam.hpp>
#include <freestone/lock/os/mutex.hpp>
#include <freestone/lock/os/process_shared.hpp>
#include <freestone/lock/ticket_spin.hpp>

namespace freestone::tests {

// The ticket lock where more threads may spin than there are cores: a turn would cost a time slice, for the next in
// order is the one without a core. So whoever looks and waits gives his away.
struct YieldingAtomics : CompilerAtomics {
  static Value load_acquire(const Word& word) noexcept {
    sched_yield();
    return CompilerAtomics::load_acquire(word);
  }
};
using YieldingTicketSpin = lock::BasicTicketSpin<YieldingAtomics>;

// One word that is 0 when open.
class MinimalLock {
 public:
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = true;

  static MinimalLock format(std::uint64_t* words) noexcept {
    *words = 0;
    return attach(words);
  }
  static MinimalLock attach(std::uint64_t* words) noexcept { return MinimalLock(words); }

  void lock() noexcept {
    while (__atomic_exchange_n(word_, 1, __ATOMIC_ACQUIRE) != 0) sched_yield();
  }
  void unlock() noexcept { __atomic_store_n(word_, 0, __ATOMIC_RELEASE); }

 protected:
  explicit MinimalLock(std::uint64_t* word) noexcept : word_(word) {}
  std::uint64_t* word_;
};

// Legal and unpleasant: many words, of which it uses the last, an open lock that is not 0, and the core given away
// before and after each turn.
class HostileLock : private MinimalLock {
 public:
  static constexpr std::size_t words = 9;
  static constexpr bool process_shared = false;

  static HostileLock format(std::uint64_t* words) noexcept {
    std::fill_n(words, HostileLock::words - 1, ~std::uint64_t{0});
    MinimalLock::format(words + HostileLock::words - 1);
    return attach(words);
  }
  static HostileLock attach(std::uint64_t* words) noexcept { return HostileLock(words + HostileLock::words - 1); }

  void lock() noexcept {
    sched_yield();
    MinimalLock::lock();
    sched_yield();
  }
  void unlock() noexcept {
    MinimalLock::unlock();
    sched_yield();
  }

 private:
  using MinimalLock::MinimalLock;
};

// --- Each breaks one law. ---

class LetsEverybodyIn : public MinimalLock {
 public:
  static LetsEverybodyIn format(std::uint64_t* words) noexcept { return LetsEverybodyIn(words); }
  static LetsEverybodyIn attach(std::uint64_t* words) noexcept { return LetsEverybodyIn(words); }
  void lock() noexcept {}
  void unlock() noexcept {}

 private:
  using MinimalLock::MinimalLock;
};

class NeverOpens : public MinimalLock {
 public:
  static NeverOpens format(std::uint64_t* words) noexcept { return NeverOpens(MinimalLock::format(words)); }
  static NeverOpens attach(std::uint64_t* words) noexcept { return NeverOpens(MinimalLock::attach(words)); }
  void unlock() noexcept {}

 private:
  explicit NeverOpens(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

// A view that was attached opens what another holds.
class AttachOpens : public MinimalLock {
 public:
  static AttachOpens format(std::uint64_t* words) noexcept { return attach(words); }
  static AttachOpens attach(std::uint64_t* words) noexcept { return AttachOpens(MinimalLock::format(words)); }

 private:
  explicit AttachOpens(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

class TrustsOldWords : public MinimalLock {
 public:
  static TrustsOldWords format(std::uint64_t* words) noexcept { return attach(words); }
  static TrustsOldWords attach(std::uint64_t* words) noexcept { return TrustsOldWords(MinimalLock::attach(words)); }

 private:
  explicit TrustsOldWords(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

class LocksTheNeighbour : public MinimalLock {
 public:
  static LocksTheNeighbour format(std::uint64_t* words) noexcept {
    return LocksTheNeighbour(MinimalLock::format(words + 1));
  }
  static LocksTheNeighbour attach(std::uint64_t* words) noexcept {
    return LocksTheNeighbour(MinimalLock::attach(words + 1));
  }

 private:
  explicit LocksTheNeighbour(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

// Its word is not the one that others see.
class KeepsToItsProcess : public MinimalLock {
 public:
  static KeepsToItsProcess format(std::uint64_t*) noexcept { return KeepsToItsProcess(MinimalLock::format(&own)); }
  static KeepsToItsProcess attach(std::uint64_t*) noexcept { return KeepsToItsProcess(MinimalLock::attach(&own)); }

 private:
  explicit KeepsToItsProcess(MinimalLock lock) noexcept : MinimalLock(lock) {}
  static inline std::uint64_t own = 0;
};

// Its waiters sleep where no other process wakes them.
class WakesItsProcessOnly : public lock::Mutex {
 public:
  static constexpr bool process_shared = true;
  static WakesItsProcessOnly format(std::uint64_t* words) noexcept { return WakesItsProcessOnly(Mutex::format(words)); }
  static WakesItsProcessOnly attach(std::uint64_t* words) noexcept { return WakesItsProcessOnly(Mutex::attach(words)); }

 private:
  explicit WakesItsProcessOnly(Mutex lock) noexcept : Mutex(lock) {}
};

class RefusesWhileHeld : public MinimalLock {
 public:
  static RefusesWhileHeld format(std::uint64_t* words) noexcept { return RefusesWhileHeld(MinimalLock::format(words)); }
  static RefusesWhileHeld attach(std::uint64_t* words) noexcept { return RefusesWhileHeld(MinimalLock::attach(words)); }
  static bool is_mine(const std::uint64_t* words) noexcept { return __atomic_load_n(words, __ATOMIC_RELAXED) == 0; }

 private:
  explicit RefusesWhileHeld(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

class RefusesOtherProcesses : public MinimalLock {
 public:
  static RefusesOtherProcesses format(std::uint64_t* words) noexcept {
    maker = getpid();
    return RefusesOtherProcesses(MinimalLock::format(words));
  }
  static RefusesOtherProcesses attach(std::uint64_t* words) noexcept {
    return RefusesOtherProcesses(MinimalLock::attach(words));
  }
  static bool is_mine(const std::uint64_t*) noexcept { return getpid() == maker; }

 private:
  explicit RefusesOtherProcesses(MinimalLock lock) noexcept : MinimalLock(lock) {}
  static inline pid_t maker = 0;
};

// Gets in behind a holder that died, and says always the same.
template <LastHolder answer>
class TellsTheSame : public lock::ProcessShared {
 public:
  static TellsTheSame format(std::uint64_t* words) noexcept { return TellsTheSame(ProcessShared::format(words)); }
  static TellsTheSame attach(std::uint64_t* words) noexcept { return TellsTheSame(ProcessShared::attach(words)); }
  LastHolder lock() noexcept { return ProcessShared::lock(), answer; }

 private:
  explicit TellsTheSame(ProcessShared lock) noexcept : ProcessShared(lock) {}
};
using NeverTells = TellsTheSame<LastHolder::left>;
using AlwaysTells = TellsTheSame<LastHolder::died>;

// Would tell, but nobody gets in to hear it.
class DiesWithItsHolder : public MinimalLock {
 public:
  static DiesWithItsHolder format(std::uint64_t* words) noexcept {
    return DiesWithItsHolder(MinimalLock::format(words));
  }
  static DiesWithItsHolder attach(std::uint64_t* words) noexcept {
    return DiesWithItsHolder(MinimalLock::attach(words));
  }
  LastHolder lock() noexcept { return MinimalLock::lock(), LastHolder::left; }

 private:
  explicit DiesWithItsHolder(MinimalLock lock) noexcept : MinimalLock(lock) {}
};

}  // namespace freestone::tests
