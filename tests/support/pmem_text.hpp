// Tables of PMEM's regions for boards of tests.
#pragma once

#include <string>

namespace freestone::tests {

// A region of that allocator; `more`: further lines.
struct RegionText {
  const char* name;
  const char* size;  // as a board writes a number
  const char* allocator = "BITMAP";
  const char* more = "";

  std::string text() const {
    const std::string place = allocator == std::string("SYSTEM") ? "" : "memory_type = \"EBI1\"\n";
    return std::string("[[pmem]]\nname = \"") + name + "\"\nsize = " + size + "\nallocator_type = \"" + allocator + "\"\n" + place + more + '\n';
  }
};
// One behind the other in 16 MiB from `base` on; the system's have no place.
template <class... Regions>
std::string regions_at(const char* base, const Regions&... regions) {
  return std::string("[[memory]]\nname = \"EBI1\"\nbase = ") + base + "\nsize = \"16M\"\n" + (regions.text() + ...);
}

}  // namespace freestone::tests
