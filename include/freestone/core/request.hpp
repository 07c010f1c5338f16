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

}  // namespace freestone
