// How many keep a thing alive, and which of the things that lie in its place in turn: one word, no lock.
#pragma once

#include <cstdint>

#include <freestone/core/seam.hpp>

namespace freestone {

// A view of a word: a generation of 12 bits above a count of 20. A thing lives while its count is not 0. Whoever knows
// its generation may take a hold; the last who drops his takes the thing apart, alone, and nobody can take one any more.
//
// Zeros are a place that nothing has lain in. Any thread, interrupt handlers too; a step is a few atomic operations.
template <class Atomics = CompilerAtomics>
class Holds {
 public:
  using Word = typename Atomics::Word;
  static constexpr unsigned count_bits = 20;
  static constexpr std::uint32_t most = (std::uint32_t{1} << count_bits) - 1;
  static constexpr std::uint32_t most_generations = std::uint32_t{1} << (32 - count_bits);

  constexpr explicit Holds(Word& word) noexcept : word_(&word) {}

  // A new thing lies here, with one hold, which is the caller's: what he wrote to it before is seen by all who take one.
  // Returns its generation. Only where nothing lies, and by one at a time.
  std::uint32_t begin() noexcept {
    const std::uint32_t seen = Atomics::load_relaxed(*word_);
    seam::expect(count_of(seen) == 0);
    const std::uint32_t next = (generation_of(seen) + 1) % most_generations;
    Atomics::store_release(*word_, next << count_bits | 1);
    return next;
  }

  enum class Taken : std::uint8_t { yes, gone, full };
  // One hold more, for anybody. gone: that generation's thing is no more; full: it has `most`.
  Taken take(std::uint32_t generation) noexcept {
    for (std::uint32_t seen = Atomics::load_relaxed(*word_);;) {
      if (count_of(seen) == 0 || generation_of(seen) != generation) return Taken::gone;
      if (count_of(seen) == most) return Taken::full;
      if (Atomics::compare_exchange_acquire(*word_, seen, seen + 1)) return Taken::yes;
      seen = Atomics::load_relaxed(*word_);
    }
  }

  // One less: of one's own, and so there is one. True for the last: all that others did with the thing has happened.
  [[nodiscard]] bool drop() noexcept {
    const std::uint32_t seen = Atomics::fetch_add_acq_rel(*word_, ~std::uint32_t{0});
    seam::expect(count_of(seen) != 0);
    return count_of(seen) == 1;
  }

  // As it is at this moment.
  std::uint32_t count() const noexcept { return count_of(Atomics::load_relaxed(*word_)); }
  std::uint32_t generation() const noexcept { return generation_of(Atomics::load_relaxed(*word_)); }

 private:
  static constexpr std::uint32_t count_of(std::uint32_t word) noexcept { return word & most; }
  static constexpr std::uint32_t generation_of(std::uint32_t word) noexcept { return word >> count_bits; }

  Word* word_;
};

}  // namespace freestone
