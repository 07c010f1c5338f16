#pragma once

#include <cstdint>

namespace freestone {

// MMZ's generations: Hi3516CV100 (g1) to Hi3519DV500 (g5); set_top: the kernels of set-top boxes, which read the text
// themselves and place by CMA.
enum class MmzGeneration : std::uint8_t { g1, g2, g3, g4, g5, set_top };
enum class MmzAllocator : std::uint8_t { hisi, cma };  // g5 calls the first ot

// Physical addresses that programs may map and that are no block's (map_mmz=). Its end is no further than the last address.
struct MmzWindow {
  std::uint64_t start = 0;
  std::uint64_t size = 0;

  // All of these bytes; of none of them it has what it starts from.
  constexpr bool has(std::uint64_t physical, std::uint64_t bytes) const noexcept {
    return physical >= start && physical - start < size && bytes <= size - (physical - start);
  }
};

}  // namespace freestone
