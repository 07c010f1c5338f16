// Where a block may start when that depends on its length: at a multiple of the power of two that holds it, or of that
// power divided by 2^finer. Numbers count from wherever the rule does.
#pragma once

#include <cstdint>

#include <freestone/core/bits.hpp>

namespace freestone::strategy {

// What the start of a block of `count` granules is a multiple of. (Of 0 granules: 1.)
constexpr std::uint64_t start_step(std::uint64_t count, unsigned finer) noexcept {
  const unsigned order = bits::ceil_log2(count);
  return std::uint64_t{1} << (order > finer ? order - finer : 0);
}

// The longest block that fits into `length` granules, which is not 0, from number `first` on. Cost: O(log2(length)).
constexpr std::uint64_t longest_on_steps(std::uint64_t first, std::uint64_t length, unsigned finer) noexcept {
  for (std::uint64_t whole = std::uint64_t{1} << bits::ceil_log2(length); whole > 1; whole /= 2) {
    const std::uint64_t pad = (0 - first) & (start_step(whole, finer) - 1);
    const std::uint64_t room = pad < length ? length - pad : 0;
    if (room > whole / 2) return room < whole ? room : whole;
  }
  return 1;
}

}  // namespace freestone::strategy
