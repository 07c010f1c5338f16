// Sixteen numbers of 15 bits side by side, the lanes of four words, and what is asked of all of them at once: which is
// the largest, which reach a bound. Lane i is bits 16 * (i % 4) and up of word i / 4. A question takes some ten
// instructions with the vectors of SSE2. Without them, and in constant evaluation, it takes some forty, four lanes at a
// time; the answers and the words are the same.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace freestone::lanes {

inline constexpr unsigned count = 16;
inline constexpr std::size_t words = 4;
inline constexpr std::uint64_t most = 0x7FFF;

constexpr std::uint64_t larger(std::uint64_t a, std::uint64_t b) noexcept { return a > b ? a : b; }

namespace detail {

inline constexpr std::uint64_t in_each = 0x0001'0001'0001'0001;  // times a number: a word of it
inline constexpr std::uint64_t guards = in_each << 15;           // the bit above each number, which is always 0

constexpr unsigned shift_of(unsigned lane) noexcept { return 16 * (lane & 3); }
constexpr std::uint64_t mask_of(unsigned lane) noexcept { return std::uint64_t{0xFFFF} << shift_of(lane); }

// Of each lane.
constexpr std::uint64_t larger_of(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t more = (a | guards) - b;  // a - b under each guard that is left
  const std::uint64_t left = more & guards;
  return b + (more & (left - (left >> 15)));
}
constexpr std::uint64_t largest(std::uint64_t a, std::uint64_t b, std::uint64_t c, std::uint64_t d) noexcept {
  const std::uint64_t four = larger_of(larger_of(a, b), larger_of(c, d));
  return larger(larger(four & 0xFFFF, (four >> 16) & 0xFFFF), larger((four >> 32) & 0xFFFF, four >> 48));
}
// Bits 0 to 3, for a word.
constexpr unsigned reaching(std::uint64_t word, std::uint64_t bounds) noexcept {
  const std::uint64_t left = (((word | guards) - bounds) & guards) >> 15;
  constexpr std::uint64_t gather = 0x0001'0002'0004'0008;  // lane i's bit becomes bit 48 + i
  return static_cast<unsigned>(left * gather >> 48) & 15;
}

using Lane [[gnu::may_alias]] = std::uint16_t;
constexpr bool as_cells() noexcept {
  return !std::is_constant_evaluated() && std::endian::native == std::endian::little;
}

#if defined(__SSE2__)
using Eight [[gnu::vector_size(16)]] = std::int16_t;
using EightOfWords [[gnu::vector_size(16), gnu::aligned(8), gnu::may_alias]] = std::int16_t;

inline Eight eight(const std::uint64_t* two_words) noexcept {
  return *reinterpret_cast<const EightOfWords*>(two_words);
}
inline Eight eight_times(std::uint64_t number) noexcept { return Eight{} + static_cast<std::int16_t>(number); }
inline Eight larger_of(Eight a, Eight b) noexcept { return a > b ? a : b; }
inline std::uint64_t largest(Eight a, Eight b) noexcept {
  a = larger_of(a, b);
  a = larger_of(a, __builtin_shufflevector(a, a, 4, 5, 6, 7, 0, 1, 2, 3));
  a = larger_of(a, __builtin_shufflevector(a, a, 2, 3, 0, 1, 6, 7, 4, 5));
  a = larger_of(a, __builtin_shufflevector(a, a, 1, 0, 3, 2, 5, 4, 7, 6));
  return static_cast<std::uint16_t>(a[0]);
}
#endif

}  // namespace detail

constexpr std::uint64_t at(const std::uint64_t* words, unsigned lane) noexcept {
  if (detail::as_cells()) return reinterpret_cast<const detail::Lane*>(words)[lane];
  return words[lane / 4] >> detail::shift_of(lane) & 0xFFFF;
}
constexpr void set(std::uint64_t* words, unsigned lane, std::uint64_t number) noexcept {
  if (detail::as_cells()) {
    reinterpret_cast<detail::Lane*>(words)[lane] = static_cast<std::uint16_t>(number);
  } else {
    words[lane / 4] = (words[lane / 4] & ~detail::mask_of(lane)) | number << detail::shift_of(lane);
  }
}

constexpr std::uint64_t largest(const std::uint64_t* words) noexcept {
#if defined(__SSE2__)
  if (!std::is_constant_evaluated()) return detail::largest(detail::eight(words), detail::eight(words + 2));
#endif
  return detail::largest(words[0], words[1], words[2], words[3]);
}

// Of all lanes but that one.
constexpr std::uint64_t largest_but(const std::uint64_t* words, unsigned lane) noexcept {
#if defined(__SSE2__)
  if (!std::is_constant_evaluated()) {
    const detail::Eight left_out = detail::eight_times(lane);
    return detail::largest(detail::eight(words) & (left_out != detail::Eight{0, 1, 2, 3, 4, 5, 6, 7}),
                           detail::eight(words + 2) & (left_out != detail::Eight{8, 9, 10, 11, 12, 13, 14, 15}));
  }
#endif
  std::uint64_t left[lanes::words] = {words[0], words[1], words[2], words[3]};
  left[lane / 4] &= ~detail::mask_of(lane);
  return detail::largest(left[0], left[1], left[2], left[3]);
}

// Bit i: lane i is at least `bound` (from 1 to `most`).
constexpr unsigned reaching(const std::uint64_t* words, std::uint64_t bound) noexcept {
#if defined(__SSE2__)
  if (!std::is_constant_evaluated()) {
    const detail::Eight less = detail::eight_times(bound - 1);
    const auto bytes = __builtin_ia32_packsswb128(detail::eight(words) > less, detail::eight(words + 2) > less);
    return static_cast<unsigned>(__builtin_ia32_pmovmskb128(bytes));
  }
#endif
  const std::uint64_t bounds = detail::in_each * bound;
  return detail::reaching(words[0], bounds) | detail::reaching(words[1], bounds) << 4 |
         detail::reaching(words[2], bounds) << 8 | detail::reaching(words[3], bounds) << 12;
}

}  // namespace freestone::lanes
