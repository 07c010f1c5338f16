#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <freestone/core/bits.hpp>

namespace freestone {

// An ordered set of numbers below a limit, as bitmaps of bitmaps: a bit of the lowest level says whether that number is
// a member, a bit of each further level whether that word of the level below has any bit, up to a level of one word.
// About 1 + 1/63 bits a number. It is a view: the words are its owner's, all 0 for the empty set.
//
// Cost of every call: O(levels), that is log64 of the limit: at most a word a level up, and one a level down again.
class BitTree {
 public:
  static constexpr std::uint64_t none = bits::all;

  static constexpr std::size_t words_for(std::uint64_t limit) noexcept {
    std::size_t sum = 0;
    for (std::uint64_t last = limit - 1;; last >>= 6) {
      sum = bits::add_saturating(sum, bits::words_for(last + 1));
      if (last < 64) return sum;
    }
  }

  // Over `words_for(limit)` words. The limit is not 0.
  constexpr BitTree(std::uint64_t* words, std::uint64_t limit) noexcept : words_(words), last_(limit - 1) {}

  // Both write a bit of every level: to stop where nothing changes any more would be a branch that nobody can predict.
  constexpr void insert(std::uint64_t number) noexcept {
    for (Level level = lowest();; level = above(level)) {
      level.words[bits::word_of(number)] |= bits::mask_of(number);
      if (is_top(level)) return;
      number >>= 6;
    }
  }
  constexpr void erase(std::uint64_t number) noexcept {
    std::uint64_t emptied = 1;
    for (Level level = lowest();; level = above(level)) {
      std::uint64_t& word = level.words[bits::word_of(number)];
      word &= ~(emptied << (number & 63));
      if (is_top(level)) return;
      emptied = word == 0;
      number >>= 6;
    }
  }

  // The lowest member that is at least `number`, or none.
  constexpr std::uint64_t first_from(std::uint64_t number) const noexcept {
    if (number > last_) return none;
    std::uint64_t found = level_word(lowest(), number) & (bits::all << (number & 63));
    Level level = lowest();
    for (; found == 0; found = level_word(level, number) & (bits::all << 1 << (number & 63))) {
      if (is_top(level)) return none;
      level = above(level);
      number >>= 6;
    }
    for (;; found = level_word(level, number)) {
      number = (number & ~std::uint64_t{63}) + static_cast<unsigned>(std::countr_zero(found));
      if (level.height == 0) return number;
      level = below(level);
      number <<= 6;
    }
  }

  // The highest member that is at most `number`, or none.
  constexpr std::uint64_t last_to(std::uint64_t number) const noexcept {
    if (number > last_) number = last_;
    std::uint64_t found = level_word(lowest(), number) & (bits::all >> (63 - (number & 63)));
    Level level = lowest();
    for (; found == 0; found = level_word(level, number) & (bits::mask_of(number) - 1)) {
      if (is_top(level)) return none;
      level = above(level);
      number >>= 6;
    }
    for (;; found = level_word(level, number)) {
      number = (number & ~std::uint64_t{63}) + bits::floor_log2(found);
      if (level.height == 0) return number;
      level = below(level);
      number <<= 6;
    }
  }

 private:
  struct Level {
    std::uint64_t* words;
    std::uint64_t last;  // the highest number that it has a bit for
    unsigned height;
  };

  constexpr Level lowest() const noexcept { return {words_, last_, 0}; }
  static constexpr bool is_top(const Level& level) noexcept { return level.last < 64; }
  static constexpr Level above(const Level& level) noexcept {
    return {level.words + (level.last >> 6) + 1, level.last >> 6, level.height + 6};
  }
  constexpr Level below(const Level& level) const noexcept {
    return {level.words - level.last - 1, last_ >> (level.height - 6), level.height - 6};
  }
  static constexpr std::uint64_t level_word(const Level& level, std::uint64_t number) noexcept {
    return level.words[bits::word_of(number)];
  }

  std::uint64_t* words_;
  std::uint64_t last_;
};

}  // namespace freestone
