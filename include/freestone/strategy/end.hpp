#pragma once

#include <cstdint>

namespace freestone::strategy {

// The end of its hole that a block is cut from, and the end of the range that is preferred. `by_size`: a sixteenth of
// the range and more low, less high, so that the small do not fence in the large.
enum class End : std::uint8_t { low, high, by_size };

// Is that the high end, for `count` granules of a range of `capacity`?
constexpr bool goes_high(End end, std::uint64_t count, std::uint64_t capacity) noexcept {
  return end == End::high || (end == End::by_size && count < (capacity >> 4) + ((capacity & 15) != 0));
}

}  // namespace freestone::strategy
