#pragma once

#include <freestone/core/units.hpp>

namespace freestone {

// A range of granules: `count` of them from `first` on.
struct Extent {
  Granules first = {};
  Granules count = {};

  constexpr Granules end() const noexcept { return first + count; }
  constexpr bool contains(Granules granule) const noexcept { return granule >= first && granule < end(); }
  constexpr bool overlaps(Extent other) const noexcept { return first < other.end() && other.first < end(); }

  friend constexpr bool operator==(Extent, Extent) noexcept = default;
};

// The range that a map describes. `origin` is the number of its first granule in the one space that all users of the
// map share (physical, device, or 0 where there is none): alignment counts from that space's zero, not from the
// range's.
struct Geometry {
  Granules capacity = {};
  Bytes granule = 4096;
  Granules origin = {};

  friend constexpr bool operator==(Geometry, Geometry) noexcept = default;
};

}  // namespace freestone
