#pragma once

#include <cstdint>

namespace freestone {

// MMZ's generations: Hi3516CV100 (g1) to Hi3519DV500 (g5); set_top: the kernels of set-top boxes, which read the text
// themselves and place by CMA.
enum class MmzGeneration : std::uint8_t { g1, g2, g3, g4, g5, set_top };
enum class MmzAllocator : std::uint8_t { hisi, cma };  // g5 calls the first ot

}  // namespace freestone
