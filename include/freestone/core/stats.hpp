#pragma once

#include <cstdint>

#include <freestone/core/units.hpp>

namespace freestone {

// A zone at one moment.
struct Stats {
  Bytes capacity = {};
  Bytes used = {};          // granted, whole granules (a buddy grants powers of two)
  Bytes free = {};          // may be granted, though perhaps not in one block
  Bytes largest_free = {};  // the largest request that would succeed now, at one granule's alignment
  std::uint64_t blocks = 0;
  Bytes metadata = {};  // the notes: tag, lock, map and, where there is one, ledger

  friend constexpr bool operator==(const Stats&, const Stats&) noexcept = default;
};

}  // namespace freestone
