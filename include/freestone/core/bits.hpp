// Scans and range writes over an array of 64-bit words: bit i is bit i % 64 of word i / 64. Bit numbers are 64 bits
// wide (a map may describe more than a 32-bit target can address), word numbers are size_t. A range is [from, to).
// Cost: O(words touched). No division, no population count, nothing but shifts: the kernel has no library for more.
#pragma once

#include <cstddef>
#include <cstdint>

namespace freestone::bits {

inline constexpr std::uint64_t all = ~std::uint64_t{0};

constexpr std::size_t word_of(std::uint64_t bit) noexcept { return static_cast<std::size_t>(bit >> 6); }
constexpr std::uint64_t mask_of(std::uint64_t bit) noexcept { return std::uint64_t{1} << (bit & 63); }

// How many words hold `count` bits; SIZE_MAX when no array can.
constexpr std::size_t words_for(std::uint64_t count) noexcept {
  const std::uint64_t words = (count >> 6) + ((count & 63) != 0);
  return words > SIZE_MAX ? SIZE_MAX : static_cast<std::size_t>(words);
}

// a + b, or SIZE_MAX when that is too much: sums of footprints saturate, and no span is that long.
constexpr std::size_t add_saturating(std::size_t a, std::size_t b) noexcept {
  return b > SIZE_MAX - a ? SIZE_MAX : a + b;
}

constexpr bool is_power_of_two(std::uint64_t n) noexcept { return n != 0 && (n & (n - 1)) == 0; }
// The number of the highest, and of the lowest bit that is set; n is not 0, which <bit> would ask each time.
constexpr unsigned floor_log2(std::uint64_t n) noexcept { return 63U - static_cast<unsigned>(__builtin_clzll(n)); }
constexpr unsigned lowest_bit(std::uint64_t n) noexcept { return static_cast<unsigned>(__builtin_ctzll(n)); }
// No branch, for a 1 among other counts is one that nobody can predict.
constexpr unsigned ceil_log2(std::uint64_t n) noexcept { return floor_log2((n - (n != 0)) | 1) + (n > 1); }

// The next multiple of `align` (a power of two) at or above n; wraps to 0 when there is none.
constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t align) noexcept {
  return (n + align - 1) & ~(align - 1);
}

// n modulo `by`, which is not 0. By shifts where it is no power of two: not every target has a division of 64 bits.
constexpr std::uint64_t remainder(std::uint64_t n, std::uint64_t by) noexcept {
  if (is_power_of_two(by)) return n & (by - 1);
  if (n < by) return n;
  for (unsigned shift = floor_log2(n) - floor_log2(by) + 1; shift-- > 0;) {
    if (n >> shift >= by) n -= by << shift;
  }
  return n;
}

constexpr bool test(const std::uint64_t* words, std::uint64_t bit) noexcept {
  return (words[word_of(bit)] & mask_of(bit)) != 0;
}
constexpr void set(std::uint64_t* words, std::uint64_t bit) noexcept { words[word_of(bit)] |= mask_of(bit); }
constexpr void clear(std::uint64_t* words, std::uint64_t bit) noexcept { words[word_of(bit)] &= ~mask_of(bit); }

// The bits of word `word` that lie in [from, to), which is not empty and reaches into that word.
constexpr std::uint64_t mask_within(std::size_t word, std::uint64_t from, std::uint64_t to) noexcept {
  std::uint64_t mask = all;
  if (word == word_of(from)) mask &= all << (from & 63);
  if (word == word_of(to - 1)) mask &= all >> (63 - ((to - 1) & 63));
  return mask;
}

constexpr void set_range(std::uint64_t* words, std::uint64_t from, std::uint64_t to) noexcept {
  for (std::size_t w = word_of(from); from < to && w <= word_of(to - 1); ++w) words[w] |= mask_within(w, from, to);
}
constexpr void clear_range(std::uint64_t* words, std::uint64_t from, std::uint64_t to) noexcept {
  for (std::size_t w = word_of(from); from < to && w <= word_of(to - 1); ++w) words[w] &= ~mask_within(w, from, to);
}

namespace detail {

// The lowest bit in [from, to) whose value, exclusive-ored with `flip`, is 1; `to` when there is none.
constexpr std::uint64_t first(const std::uint64_t* words, std::uint64_t from, std::uint64_t to,
                              std::uint64_t flip) noexcept {
  if (from >= to) return to;
  const std::size_t last = word_of(to - 1);
  std::uint64_t found = (words[word_of(from)] ^ flip) & (all << (from & 63));
  for (std::size_t w = word_of(from);; found = words[w] ^ flip) {
    if (found != 0) {
      const std::uint64_t bit = (std::uint64_t{w} << 6) + lowest_bit(found);
      return bit < to ? bit : to;
    }
    if (w++ == last) return to;
  }
}

}  // namespace detail

// The lowest set (clear) bit in [from, to); `to` when there is none.
constexpr std::uint64_t first_set(const std::uint64_t* words, std::uint64_t from, std::uint64_t to) noexcept {
  return detail::first(words, from, to, 0);
}
constexpr std::uint64_t first_clear(const std::uint64_t* words, std::uint64_t from, std::uint64_t to) noexcept {
  return detail::first(words, from, to, all);
}

// One past the highest set bit in [from, to); `from` when there is none.
constexpr std::uint64_t end_of_last_set(const std::uint64_t* words, std::uint64_t from, std::uint64_t to) noexcept {
  if (from >= to) return from;
  for (std::size_t w = word_of(to - 1);; --w) {
    if (const std::uint64_t found = words[w] & mask_within(w, from, to); found != 0) {
      return (std::uint64_t{w} << 6) + floor_log2(found) + 1;
    }
    if (w == word_of(from)) return from;
  }
}

// Of one word, without a branch. A bit where a run of `n` set bits starts (from 1 to 64); the length of the longest
// run, 63 where it is all 64.
constexpr std::uint64_t starts_of_runs(std::uint64_t word, std::uint64_t n) noexcept {
  std::uint64_t left = n - 1;
  const auto shorten = [&](std::uint64_t most) {  // every run by `most`, or by what is left
    const std::uint64_t by = left < most ? left : most;
    word &= word >> by;
    left -= by;
  };
  shorten(1), shorten(2), shorten(4), shorten(8), shorten(16), shorten(32);
  return word;
}
constexpr std::uint64_t longest_run(std::uint64_t word) noexcept {
  const std::uint64_t of_2 = word & (word >> 1);  // where so many in a row begin
  const std::uint64_t of_4 = of_2 & (of_2 >> 2);
  const std::uint64_t of_8 = of_4 & (of_4 >> 4);
  const std::uint64_t of_16 = of_8 & (of_8 >> 8);
  const std::uint64_t of_32 = of_16 & (of_16 >> 16);
  std::uint64_t longest = 0;
  std::uint64_t starts = all;  // of runs of `longest`
  const auto lengthen = [&](std::uint64_t runs, std::uint64_t by) {
    const std::uint64_t longer = starts & (runs >> longest);
    const std::uint64_t there_is = 0 - std::uint64_t{longer != 0};
    longest += there_is & by;
    starts = longer | (starts & ~there_is);
  };
  lengthen(of_32, 32), lengthen(of_16, 16), lengthen(of_8, 8), lengthen(of_4, 4), lengthen(of_2, 2), lengthen(word, 1);
  return longest;
}

}  // namespace freestone::bits
