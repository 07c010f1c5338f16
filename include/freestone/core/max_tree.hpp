#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <freestone/core/bits.hpp>

namespace freestone {

// A row of small numbers that tells at once where the first, or the last, is that reaches a bound. It is a tree of
// groups of sixteen numbers: the row, in groups; over these groups the largest number of each, in groups again; up to
// one group. 17 bits a number, or a few more where the row is not nearly a power of sixteen. It is a view: the words
// are its owner's, all 0 for a row of zeros.
//
// Groups are numbered from the top down, as in a heap: below number i of group g is group 16 g + i + 1, so below number
// n, counted from the top, is group n + 1. A group is four words with four numbers each, number i in word i % 4, so
// that one subtraction compares four numbers with a bound, and what comes of the words, side by side, is in order.
//
// Cost of every call: O(levels), that is log16 of the count: at most a group a level up, and one a level down again.
class MaxTree {
 public:
  static constexpr std::uint64_t none = bits::all;
  static constexpr std::uint64_t most = 0x7FFF;  // a number has 15 bits

  static constexpr std::size_t words_for(std::uint64_t count) noexcept {
    const std::uint64_t words = words_a_group * (groups_above(count) + groups_in(count));
    return words > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(words);
  }

  // Over `words_for(count)` words. The count is neither 0 nor above 2^60.
  constexpr MaxTree(std::uint64_t* words, std::uint64_t count) noexcept
      : words_(words), row_(16 * groups_above(count)), end_(row_ + count) {}

  constexpr std::uint64_t at(std::uint64_t index) const noexcept { return number(row_ + index); }
  constexpr std::uint64_t largest() const noexcept { return largest_in(0); }

  // The number becomes larger (or stays).
  constexpr void raise(std::uint64_t index, std::uint64_t to) noexcept {
    for (std::uint64_t n = row_ + index;; n = above(n)) {
      std::uint64_t& word = word_of(n);
      const std::uint64_t old = number(n);
      word += (larger(old, to) - old) << shift_of(n);
      if (n < 16) return;
    }
  }
  // The number becomes smaller (or stays).
  constexpr void lower(std::uint64_t index, std::uint64_t to) noexcept {
    for (std::uint64_t n = row_ + index;; n = above(n)) {
      std::uint64_t& word = word_of(n);
      word -= number(n) << shift_of(n);
      const std::uint64_t others = largest_in(n >> 4);  // of all levels at once: none of them waits for `to`
      word += to << shift_of(n);
      if (n < 16) return;
      to = larger(to, others);
    }
  }

  // The first index from there on, or the last one up to there, whose number is at least `bound` (from 1 to `most`).
  constexpr std::uint64_t first_from(std::uint64_t index, std::uint64_t bound) const noexcept {
    std::uint64_t n = row_ + index;
    if (n >= end_) return none;
    std::uint64_t found = reaching(n >> 4, bound) & (bits::all << place_of(n));
    while (found == 0) {
      if (n < 16) return none;
      n = above(n);
      found = reaching(n >> 4, bound) & (bits::all << 1 << place_of(n));
    }
    return first_below(n >> 4, found, bound);
  }
  constexpr std::uint64_t last_to(std::uint64_t index, std::uint64_t bound) const noexcept {
    std::uint64_t n = row_ + index;
    if (n >= end_) n = end_ - 1;
    std::uint64_t found = reaching(n >> 4, bound) & (bits::all >> (63 - place_of(n)));
    while (found == 0) {
      if (n < 16) return none;
      n = above(n);
      found = reaching(n >> 4, bound) & ((std::uint64_t{1} << place_of(n)) - 1);
    }
    for (std::uint64_t group = n >> 4;; group = n + 1, found = reaching(group, bound)) {
      n = number_in(group, bits::floor_log2(found));
      if (n >= row_) return n - row_;
    }
  }
  // first_from(0, bound), straight down from the top.
  constexpr std::uint64_t first(std::uint64_t bound) const noexcept {
    const std::uint64_t found = reaching(0, bound);
    return found == 0 ? none : first_below(0, found, bound);
  }

 private:
  static constexpr std::uint64_t words_a_group = 4;
  static constexpr std::uint64_t in_each = 0x0001'0001'0001'0001;  // times a number: four of it
  static constexpr std::uint64_t guards = in_each << 15;           // the bit above each number, which is always 0

  static constexpr std::uint64_t groups_in(std::uint64_t count) noexcept { return (count >> 4) + ((count & 15) != 0); }
  static constexpr std::uint64_t groups_above(std::uint64_t count) noexcept {
    std::uint64_t above = 0;
    for (std::uint64_t level = 1; level < groups_in(count); level *= 16) above += level;
    return above;
  }

  // The numbers are themselves counted from the top: `n` is number n % 16 of group n / 16.
  static constexpr std::uint64_t above(std::uint64_t n) noexcept { return (n >> 4) - 1; }
  constexpr std::uint64_t first_below(std::uint64_t group, std::uint64_t found, std::uint64_t bound) const noexcept {
    for (;; found = reaching(group, bound)) {
      const std::uint64_t n = number_in(group, static_cast<unsigned>(std::countr_zero(found)));
      if (n >= row_) return n - row_;
      group = n + 1;
    }
  }

  // Where a number's bit is in what `reaching` returns; which number of that group has it.
  static constexpr unsigned place_of(std::uint64_t n) noexcept { return shift_of(n) + static_cast<unsigned>(n & 3); }
  static constexpr std::uint64_t number_in(std::uint64_t group, unsigned place) noexcept {
    return 16 * group + ((place >> 2) & 12) + (place & 3);
  }

  static constexpr unsigned shift_of(std::uint64_t n) noexcept { return static_cast<unsigned>(n & 12) << 2; }
  constexpr const std::uint64_t* words_of(std::uint64_t group) const noexcept {
    return words_ + static_cast<std::size_t>(words_a_group * group);
  }
  constexpr std::uint64_t& word_of(std::uint64_t n) const noexcept {
    return words_[static_cast<std::size_t>(words_a_group * (n >> 4) + (n & 3))];
  }
  constexpr std::uint64_t number(std::uint64_t n) const noexcept { return (word_of(n) >> shift_of(n)) & 0xFFFF; }

  // A bit for each number of the group that is at least `bound`.
  constexpr std::uint64_t reaching(std::uint64_t group, std::uint64_t bound) const noexcept {
    const std::uint64_t* words = words_of(group);
    const std::uint64_t bounds = in_each * bound;
    const auto guards_left = [&](unsigned i) { return ((words[i] | guards) - bounds) & guards; };
    return guards_left(0) >> 15 | guards_left(1) >> 14 | guards_left(2) >> 13 | guards_left(3) >> 12;
  }
  constexpr std::uint64_t largest_in(std::uint64_t group) const noexcept {
    const std::uint64_t* words = words_of(group);
    const std::uint64_t four = larger_of(larger_of(words[0], words[1]), larger_of(words[2], words[3]));
    const std::uint64_t low = larger(four & 0xFFFF, (four >> 16) & 0xFFFF);
    const std::uint64_t high = larger((four >> 32) & 0xFFFF, four >> 48);
    return larger(low, high);
  }
  static constexpr std::uint64_t larger(std::uint64_t a, std::uint64_t b) noexcept { return a > b ? a : b; }
  // The larger of each of the four pairs of numbers.
  static constexpr std::uint64_t larger_of(std::uint64_t a, std::uint64_t b) noexcept {
    const std::uint64_t more = (a | guards) - b;  // a - b under each guard that is left
    const std::uint64_t left = more & guards;
    return b + (more & (left - (left >> 15)));
  }

  std::uint64_t* words_;
  std::uint64_t row_;  // number 0 of the row
  std::uint64_t end_;
};

}  // namespace freestone
