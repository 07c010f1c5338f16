#pragma once

#include <freestone/core/units.hpp>

namespace freestone {

// What a caller asks of a zone. More constraints join here; each has a default that constrains nothing.
struct Request {
  Bytes size = {};  // rounded up to granules; 0 is an error
  Bytes align = 0;  // a power of two, counted from the zero of the zone's address space; 0: a granule will do
};

}  // namespace freestone
