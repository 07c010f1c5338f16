#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/core/seam.hpp>

namespace freestone::lock {

// Test, then test-and-set: waits by reading, so that the holder's line stays with him. The right one where the wait is
// shorter than a sleep and the holder is never descheduled for long; not fair. A process that dies inside leaves it
// shut.
template <class Atomics>
class BasicSpin {
 public:
  static constexpr std::size_t words = 1;
  static constexpr bool process_shared = true;

  static BasicSpin format(std::uint64_t* words) noexcept {
    *words = 0;
    return attach(words);
  }
  static BasicSpin attach(std::uint64_t* words) noexcept {
    return BasicSpin(*reinterpret_cast<typename Atomics::Word*>(words));
  }

  explicit BasicSpin(typename Atomics::Word& word) noexcept : word_(&word) {}

  void lock() noexcept {
    while (Atomics::exchange_acquire(*word_, 1) != 0) {
      while (Atomics::load_relaxed(*word_) != 0) seam::pause();
    }
  }
  void unlock() noexcept { Atomics::store_release(*word_, 0); }

 private:
  typename Atomics::Word* word_;
};

using Spin = BasicSpin<CompilerAtomics>;

}  // namespace freestone::lock
