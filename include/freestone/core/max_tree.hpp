#pragma once

#include <cstddef>
#include <cstdint>

#include <freestone/core/bits.hpp>
#include <freestone/core/lanes.hpp>

namespace freestone {

// A row of small numbers that tells at once where the first, or the last, is that reaches a bound. It is a tree of
// groups of sixteen numbers: the row, in groups; over these groups the largest number of each, in groups again; up to
// one group. 17 bits a number, or a few more where the row is not nearly a power of sixteen. It is a view: the words
// are its owner's, all 0 for a row of zeros.
//
// Groups are numbered from the top down, as in a heap: below number i of group g is group 16 g + i + 1, so below number
// n, counted from the top, is group n + 1. A group is the lanes of four words (lanes.hpp).
//
// Cost of every call: O(levels), that is log16 of the count: at most a group a level up, and one a level down again.
class MaxTree {
 public:
  static constexpr std::uint64_t none = bits::all;
  static constexpr std::uint64_t most = lanes::most;  // a number has 15 bits

  static constexpr std::size_t words_for(std::uint64_t count) noexcept {
    const std::uint64_t words = lanes::words * (groups_above(count) + groups_in(count));
    return words > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(words);
  }

  // Over `words_for(count)` words. The count is neither 0 nor above 2^60.
  constexpr MaxTree(std::uint64_t* words, std::uint64_t count) noexcept
      : words_(words), row_(16 * groups_above(count)), end_(row_ + count) {}

  constexpr std::uint64_t at(std::uint64_t index) const noexcept { return number(row_ + index); }
  constexpr std::uint64_t largest() const noexcept { return lanes::largest(words_); }

  // The number becomes larger (or stays).
  constexpr void raise(std::uint64_t index, std::uint64_t to) noexcept {
    for (std::uint64_t n = row_ + index;; n = above(n)) {
      lanes::set(words_of(n >> 4), place_of(n), lanes::larger(number(n), to));
      if (n < lanes::count) return;
    }
  }
  // The number becomes smaller (or stays).
  constexpr void lower(std::uint64_t index, std::uint64_t to) noexcept {
    for (std::uint64_t n = row_ + index;; n = above(n)) {
      const std::uint64_t others = lanes::largest_but(words_of(n >> 4), place_of(n));  // no level waits for another's `to`
      lanes::set(words_of(n >> 4), place_of(n), to);
      if (n < lanes::count) return;
      to = lanes::larger(to, others);
    }
  }

  // The first index from there on, or the last one up to there, whose number is at least `bound` (from 1 to `most`).
  constexpr std::uint64_t first_from(std::uint64_t index, std::uint64_t bound) const noexcept {
    std::uint64_t n = row_ + index;
    if (n >= end_) return none;
    unsigned found = reaching(n >> 4, bound) & (~0U << place_of(n));
    while (found == 0) {
      if (n < lanes::count) return none;
      n = above(n);
      found = reaching(n >> 4, bound) & (~0U << 1 << place_of(n));
    }
    return first_below(n >> 4, found, bound);
  }
  constexpr std::uint64_t last_to(std::uint64_t index, std::uint64_t bound) const noexcept {
    std::uint64_t n = row_ + index;
    if (n >= end_) n = end_ - 1;
    unsigned found = reaching(n >> 4, bound) & ((2U << place_of(n)) - 1);
    while (found == 0) {
      if (n < lanes::count) return none;
      n = above(n);
      found = reaching(n >> 4, bound) & ((1U << place_of(n)) - 1);
    }
    for (std::uint64_t group = n >> 4;; group = n + 1, found = reaching(group, bound)) {
      n = lanes::count * group + bits::floor_log2(found);
      if (n >= row_) return n - row_;
    }
  }
  // first_from(0, bound), straight down from the top.
  constexpr std::uint64_t first(std::uint64_t bound) const noexcept {
    const unsigned found = reaching(0, bound);
    return found == 0 ? none : first_below(0, found, bound);
  }

 private:
  static constexpr std::uint64_t groups_in(std::uint64_t count) noexcept { return (count >> 4) + ((count & 15) != 0); }
  static constexpr std::uint64_t groups_above(std::uint64_t count) noexcept {
    std::uint64_t above = 0;
    for (std::uint64_t level = 1; level < groups_in(count); level *= lanes::count) above += level;
    return above;
  }

  // The numbers are themselves counted from the top: `n` is number n % 16 of group n / 16.
  static constexpr std::uint64_t above(std::uint64_t n) noexcept { return (n >> 4) - 1; }
  static constexpr unsigned place_of(std::uint64_t n) noexcept { return static_cast<unsigned>(n & 15); }
  constexpr std::uint64_t* words_of(std::uint64_t group) const noexcept {
    return words_ + static_cast<std::size_t>(lanes::words * group);
  }
  constexpr std::uint64_t number(std::uint64_t n) const noexcept { return lanes::at(words_of(n >> 4), place_of(n)); }
  // A bit for each number of the group that is at least `bound`.
  constexpr unsigned reaching(std::uint64_t group, std::uint64_t bound) const noexcept {
    return lanes::reaching(words_of(group), bound);
  }

  constexpr std::uint64_t first_below(std::uint64_t group, unsigned found, std::uint64_t bound) const noexcept {
    for (;; found = reaching(group, bound)) {
      const std::uint64_t n = lanes::count * group + bits::lowest_bit(found);
      if (n >= row_) return n - row_;
      group = n + 1;
    }
  }

  std::uint64_t* words_;
  std::uint64_t row_;  // number 0 of the row
  std::uint64_t end_;
};

}  // namespace freestone
