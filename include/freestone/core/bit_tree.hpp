#pragma once

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

  // `number` is below the limit.
  constexpr bool contains(std::uint64_t number) const noexcept { return bits::test(words_, number); }

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
      number = (number & ~std::uint64_t{63}) + bits::lowest_bit(found);
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

// Several ordered sets, numbered from 0: bit trees that all have the same height, so that no branch depends on which
// set it is, and a word above them that says which have a member. Each set has a lowest and a highest number, and none
// is given to a call that lies beyond, but that with its last bit turned (n ^ 1), which lies in the same word. It is a view: the words are its owner's, all 0 before the sets are laid out.
//
// Words: the sets that have a member; for each set where each of its levels begins; the levels.
// Cost of every call: O(height).
class BitTrees {
 public:
  static constexpr std::uint64_t none = bits::all;
  static constexpr unsigned most_height = 11;  // for numbers of 64 bits

  // The height that sets of numbers up to `highest` need.
  static constexpr unsigned height_for(std::uint64_t highest) noexcept {
    return bits::floor_log2(highest | 1) / 6 + 1;
  }
  static constexpr std::size_t words_before_levels(unsigned sets, unsigned height) noexcept {
    return 1 + std::size_t{sets} * height;
  }
  // The most words that the levels of a set take that has `count` numbers from its lowest to its highest.
  static constexpr std::size_t words_for_levels(std::uint64_t count, unsigned height) noexcept {
    std::size_t sum = 0;
    for (unsigned level = 0; level < height; ++level) {
      count = (count >> 6) + ((count & 63) > 1) + (count != 0);  // not each begins with a word's first bit
      sum = bits::add_saturating(sum, count > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(count));
    }
    return sum;
  }

  constexpr BitTrees(std::uint64_t* words, unsigned height) noexcept : words_(words), height_(height) {}

  // Once for each set: its levels begin at word `word`, and end where it says.
  constexpr std::uint64_t lay_out(unsigned set, std::uint64_t lowest, std::uint64_t highest,
                                  std::uint64_t word) noexcept {
    for (unsigned level = 0; level < height_; ++level) {
      lowest >>= 6;
      highest >>= 6;
      starts_of(set)[level] = word - lowest;
      word += highest - lowest + 1;
    }
    return word;
  }

  // Bit i: set i has a member.
  constexpr std::uint64_t non_empty() const noexcept { return words_[0]; }

  constexpr bool contains(unsigned set, std::uint64_t number) const noexcept {
    return (word(starts_of(set)[0], number) & bits::mask_of(number)) != 0;
  }

  // All write a bit of every level, as in BitTree.
  [[gnu::always_inline]] constexpr void insert(unsigned set, std::uint64_t number) noexcept {
    const std::uint64_t* starts = starts_of(set);
    words_[0] |= bits::mask_of(set);
    for (unsigned level = 0; level < height_; ++level, number >>= 6) {
      word(starts[level], number) |= bits::mask_of(number);
    }
  }
  // As insert, into a set that has no member: nothing is read.
  constexpr void insert_only(unsigned set, std::uint64_t number) noexcept {
    const std::uint64_t* starts = starts_of(set);
    words_[0] |= bits::mask_of(set);
    for (unsigned level = 0; level < height_; ++level, number >>= 6) {
      word(starts[level], number) = bits::mask_of(number);
    }
  }
  [[gnu::always_inline]] constexpr void erase(unsigned set, std::uint64_t number) noexcept {
    const std::uint64_t* starts = starts_of(set);
    std::uint64_t emptied = 1;
    for (unsigned level = 0; level < height_; ++level, number >>= 6) {
      std::uint64_t& bits = word(starts[level], number);
      bits &= ~(emptied << (number & 63));
      emptied = bits == 0;
    }
    words_[0] &= ~(emptied << set);
  }

  // Erases the lowest member of a set that has one: down its path, and up the same words again.
  [[gnu::always_inline]] constexpr std::uint64_t take_lowest(unsigned set) noexcept {
    const std::uint64_t* starts = starts_of(set);
    std::uint64_t* path[most_height];
    std::uint64_t number = 0;
    for (unsigned level = height_; level-- > 0;) {
      path[level] = words_ + static_cast<std::size_t>(starts[level] + number);
      number = (number << 6) + bits::lowest_bit(*path[level]);
    }
    std::uint64_t emptied = 1;
    for (unsigned level = 0; level < height_; ++level) {
      *path[level] &= *path[level] - emptied;  // its lowest bit, or none
      emptied = *path[level] == 0;
    }
    words_[0] &= ~(emptied << set);
    return number;
  }

  // The lowest member of a set that is at least `number`, or none.
  constexpr std::uint64_t first_from(unsigned set, std::uint64_t number) const noexcept {
    const std::uint64_t* starts = starts_of(set);
    unsigned level = 0;
    std::uint64_t found = word(starts[0], number) & (bits::all << (number & 63));
    while (found == 0) {
      if (++level == height_) return none;
      number >>= 6;
      found = word(starts[level], number) & (bits::all << 1 << (number & 63));
    }
    number = (number & ~std::uint64_t{63}) + bits::lowest_bit(found);
    while (level-- > 0) {
      number <<= 6;
      number += bits::lowest_bit(word(starts[level], number));
    }
    return number;
  }

  // The highest member of a set that is at most `number`, or none.
  constexpr std::uint64_t last_to(unsigned set, std::uint64_t number) const noexcept {
    const std::uint64_t* starts = starts_of(set);
    unsigned level = 0;
    std::uint64_t found = word(starts[0], number) & (bits::all >> (63 - (number & 63)));
    while (found == 0) {
      if (++level == height_) return none;
      number >>= 6;
      found = word(starts[level], number) & (bits::mask_of(number) - 1);
    }
    number = (number & ~std::uint64_t{63}) + bits::floor_log2(found);
    while (level-- > 0) {
      number <<= 6;
      number += bits::floor_log2(word(starts[level], number));
    }
    return number;
  }

 private:
  constexpr std::uint64_t* starts_of(unsigned set) const noexcept { return words_ + 1 + std::size_t{set} * height_; }
  constexpr std::uint64_t& word(std::uint64_t start, std::uint64_t number) const noexcept {
    return words_[static_cast<std::size_t>(start + (number >> 6))];
  }

  std::uint64_t* words_;
  unsigned height_;
};

}  // namespace freestone
