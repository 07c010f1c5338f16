// A word whose 32 bits are 32 things, claimed and given back by any thread with no lock: the seed of page frames and
// magazines. Lock-free: somebody's claim or release succeeds whatever the others do.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include <freestone/core/seam.hpp>

namespace freestone {

template <class Atomics>
class WordClaim {
 public:
  using Word = typename Atomics::Word;

  constexpr explicit WordClaim(Word& word) noexcept : word_(&word) {}

  // The index of a bit that was clear and is now the caller's; empty when all 32 were taken. What the bit's last owner
  // wrote before he released it is seen. Any thread, interrupt handlers too; one atomic operation a try, and a try
  // fails only where another thread took that very bit.
  std::optional<unsigned> claim() noexcept {
    for (std::uint32_t seen = Atomics::load_relaxed(*word_); seen != ~std::uint32_t{0};) {
      const auto index = static_cast<unsigned>(std::countr_one(seen));
      const std::uint32_t bit = std::uint32_t{1} << index;
      seen = Atomics::fetch_or_acquire(*word_, bit);
      if ((seen & bit) == 0) return index;
    }
    return std::nullopt;
  }

  // Gives bit `index` back. False when it was not claimed, and then nothing changed.
  bool release(unsigned index) noexcept {
    if (index >= 32) return false;
    const std::uint32_t bit = std::uint32_t{1} << index;
    return (Atomics::fetch_and_release(*word_, ~bit) & bit) != 0;
  }

 private:
  Word* word_;
};

}  // namespace freestone
