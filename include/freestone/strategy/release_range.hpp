// Giving back any range, whichever blocks it is of, as systems do that keep no blocks but bits (genalloc, CMA).
#pragma once

#include <optional>

#include <freestone/core/extent.hpp>
#include <freestone/strategy/bitmap.hpp>

namespace freestone::strategy {

// Are all of these granules blocks'? None are where there are none. Cost: O(blocks in it).
template <BitmapRule rule>
constexpr bool is_taken(const BitmapBy<rule>& map, Extent range) noexcept {
  const Granules end = range.end();
  if (range.count == Granules(0) || end < range.first) return false;
  for (Granules at = range.first; at < end;) {
    const std::optional<Extent> block = map.containing(at);
    if (!block) return false;
    at = block->end();
  }
  return true;
}

// The range is free; what is left of blocks before and behind it stays, as a block each. False, and nothing changed, where not all of
// it is taken. Cost: O(blocks in it), a release and a place_at each.
template <BitmapRule rule>
constexpr bool release_range(BitmapBy<rule>& map, Extent range) noexcept {
  if (!is_taken(map, range)) return false;
  for (Granules at = range.first; at < range.end();) {
    const Extent block = *map.containing(at);
    const Granules end = block.end() < range.end() ? block.end() : range.end();
    if (block.first < at) {
      map.resize(block.first, at - block.first);
    } else {
      map.release(block.first);
    }
    if (end < block.end()) map.place_at({end, block.end() - end});
    at = end;
  }
  return true;
}

}  // namespace freestone::strategy
