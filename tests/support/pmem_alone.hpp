// For tests of a region of PMEM's that need no more of it: the heap that it is of, on a board of its own, and nobody who sees anything.
#pragma once

#include <cstdint>
#include <string_view>

#include <freestone/core/result.hpp>
#include <freestone/device/pmem/region.hpp>

namespace freestone::tests {

inline constexpr std::uint64_t pmem_base = 0x4000'0000;
inline constexpr std::string_view pmem_heap_board = R"(
[[heap]]
name = "pmem"
id = 0
type = "custom"
strategy = "bitmap"
size = "64K"
base = 0x4000_0000
)";
inline constexpr device::PmemLimits few_allocations{.allocations = 8, .grants = 4};

// Shows and hides nothing, of a file or of all subs.
struct NoScreen {
  template <class... Of>
  Result<void> show(const Of&...) noexcept {
    return {};
  }
  template <class... Of>
  void hide(const Of&...) noexcept {}
  template <class... Of>
  void forget(const Of&...) noexcept {}
};

}  // namespace freestone::tests
