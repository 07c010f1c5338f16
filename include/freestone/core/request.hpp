#pragma once

#include <cstdint>

#include <freestone/core/units.hpp>

namespace freestone {

// What a caller asks of a zone. More constraints join here; each has a default that constrains nothing.
struct Request {
  Bytes size = {};  // rounded up to granules; 0 is an error
  Bytes align = 0;  // a power of two, counted from the zero of the zone's address space; 0: a granule will do
  std::uint32_t tag = 0;  // what it is for, as its caller counts: for layers, the zone does not look
};

// Which addresses a block may have, as numbers of the zone's address space.
struct Bounds {
  std::uint64_t last = ~std::uint64_t{0};  // none behind this one
  Bytes boundary = 0;                      // it lies on one side of each multiple of this power of two; 0: anywhere

  friend constexpr bool operator==(const Bounds&, const Bounds&) noexcept = default;
};

}  // namespace freestone
