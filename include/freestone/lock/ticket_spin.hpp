#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/core/map_header.hpp>
#include <freestone/core/seam.hpp>

namespace freestone::lock {

// Spins in the order of arrival: whoever comes draws a number and waits until it is called, so that nobody waits for
// more turns than there are others before him. For cores that nobody takes away (a board, a kernel, pinned threads):
// where a waiter is descheduled, all behind him wait for his next time slice. A process that dies inside, or while it
// waits, leaves it shut.
template <class Atomics>
class BasicTicketSpin {
 public:
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = true;
  static constexpr std::uint32_t id = map_id("TicketSpin");

  static BasicTicketSpin format(std::uint64_t* words) noexcept {
    *words = 0;
    return attach(words);
  }
  static BasicTicketSpin attach(std::uint64_t* words) noexcept {
    auto* half = reinterpret_cast<typename Atomics::Word*>(words);
    return BasicTicketSpin(half[0], half[1]);
  }

  // Open where both are equal. They count on beyond 2^32: fewer than that wait at once.
  BasicTicketSpin(typename Atomics::Word& drawn, typename Atomics::Word& called) noexcept
      : drawn_(&drawn), called_(&called) {}

  void lock() noexcept {
    const auto mine = Atomics::fetch_add_relaxed(*drawn_, 1);
    while (Atomics::load_acquire(*called_) != mine) seam::pause();
  }
  void unlock() noexcept { Atomics::store_release(*called_, Atomics::load_relaxed(*called_) + 1); }

 private:
  typename Atomics::Word* drawn_;
  typename Atomics::Word* called_;
};

using TicketSpin = BasicTicketSpin<CompilerAtomics>;

}  // namespace freestone::lock
