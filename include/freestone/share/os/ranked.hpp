// Locks that look whether the sharing layer's order is kept (share/locks.hpp).
#pragma once

#include <unistd.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <freestone/lock/concept.hpp>
#include <freestone/share/locks.hpp>

namespace freestone {

// In builds without NDEBUG: this unit's own. It changes no layout.
constexpr bool ranks_are_checked =
#if defined(NDEBUG)
    false;
#else
    true;
#endif

namespace detail {

// The ranks that this thread holds, a bit each, of whatever devices.
inline constinit thread_local std::uint32_t held_ranks = 0;

constexpr const char* name_of(LockRank rank) noexcept {
  switch (rank) {
    case LockRank::views: return "views";
    case LockRank::names: return "names";
    case LockRank::clients: return "clients";
    case LockRank::client: return "client";
    case LockRank::buffers: return "buffers";
    case LockRank::accounts: return "accounts";
    case LockRank::fences: return "fences";
    case LockRank::exports: return "exports";
    case LockRank::peers: return "peers";
  }
  return "of no rank";
}

[[noreturn, gnu::cold]] inline void end_with(std::initializer_list<const char*> words) noexcept {
  for (const char* word : words) static_cast<void>(!::write(STDERR_FILENO, word, std::strlen(word)));
  std::abort();
}
[[noreturn, gnu::cold]] inline void end_for_order(LockRank taken) noexcept {
  const auto held = static_cast<LockRank>(std::bit_width(held_ranks) - 1);
  end_with({"freestone: a thread that holds the lock '", name_of(held), "' takes '", name_of(taken),
            "': that is not the order of LockRank (share/locks.hpp)\n"});
}
[[noreturn, gnu::cold]] inline void end_for_stranger(LockRank rank) noexcept {
  end_with({"freestone: a thread gives back the lock '", name_of(rank), "', which it does not hold\n"});
}

}  // namespace detail

// The lock L, of that rank. Who takes it while he holds one of its rank or a later one, or gives back what he does not
// hold, ends the program with a sentence on stderr: so two threads never wait for each other, however they are timed.
template <class L, LockRank rank>
  requires(check_lock<L>())
class RankedLock {
 public:
  static constexpr std::size_t words = L::words;
  static constexpr bool process_shared = L::process_shared;
  static constexpr std::uint32_t id = lock_id<L>();

  static RankedLock format(std::uint64_t* words) noexcept { return RankedLock(L::format(words)); }
  static RankedLock attach(std::uint64_t* words) noexcept { return RankedLock(L::attach(words)); }

  auto lock() noexcept {
    if (detail::held_ranks >= bit) detail::end_for_order(rank);
    detail::held_ranks |= bit;
    return lock_.lock();
  }
  void unlock() noexcept {
    if ((detail::held_ranks & bit) == 0) detail::end_for_stranger(rank);
    detail::held_ranks &= ~bit;
    lock_.unlock();
  }

 private:
  static constexpr std::uint32_t bit = std::uint32_t{1} << static_cast<unsigned>(rank);

  explicit RankedLock(L lock) noexcept : lock_(lock) {}

  [[no_unique_address]] L lock_;
};

// For a Device, and for what stands beside it: L for each rank, and, in builds without NDEBUG, the look.
template <class L, bool are_checked = ranks_are_checked>
struct Ranked {
  template <LockRank rank>
  using At = RankedLock<L, rank>;
};
template <class L>
struct Ranked<L, false> {
  template <LockRank>
  using At = L;
};

}  // namespace freestone
