// What MMZ tells of a block that was left behind. (shared/spec: MMZ 1.7.)
#pragma once

#include <cstdint>

namespace freestone::device {

// A block whose file was closed, while nobody had freed it.
struct MmzLeak {
  std::uint32_t process = 0;  // who opened the file
  std::uint64_t physical = 0;
  std::uint64_t length = 0;
  const char* name = "";
  bool is_mapped = false;
};

}  // namespace freestone::device
