#include <freestone/device/ion/gralloc.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

#include <doctest/doctest.h>

using namespace freestone::device;

namespace {

// The specification's words (ION 9), a number for each, with nothing of the header's.
GrallocHeaps told(std::uint32_t usage) {
  const auto says = [usage](std::uint32_t bit) { return (usage & bit) == bit; };
  GrallocHeaps heaps;
  if (says(0x20000000)) heaps.mask += 1U << 24;
  if (says(0x10000000)) heaps.mask += 1U << 30;
  if (says(0x01000000)) heaps.mask += 1U << 20;
  if (says(0x80000000) && says(0x00004000)) heaps.mask += 1U << 8;
  if (says(0x40000000) || (says(0x80000000) && !says(0x00004000))) heaps.mask += 1U << 25;
  if (heaps.mask == 0) heaps = {.mask = 0x03000000, .fallback = 0x40000000};
  if (says(0x00400000)) {
    heaps.mask |= 0x80000000;
    if (heaps.fallback != 0) heaps.fallback |= 0x80000000;
  }
  heaps.wants_uncached = says(0x02000000);
  heaps.is_mm_without_protected = says(0x80000000) && !says(0x00004000);
  return heaps;
}

constexpr std::array<std::uint32_t, 12> bits = {0x00004000, 0x00100000, 0x00200000, 0x00400000, 0x01000000, 0x02000000,
                                                0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x80000000};

static_assert(heaps_of_gralloc(0) == GrallocHeaps{.mask = 0x03000000, .fallback = 0x40000000});
static_assert(heaps_of_gralloc(gralloc_usage::adsp_heap | gralloc_usage::smi_heap) == heaps_of_gralloc(0));
static_assert(heaps_of_gralloc(gralloc_usage::mm_heap | gralloc_usage::is_protected | gralloc_usage::cp_buffer).mask ==
              (1U << 8 | 1U << 31));
static_assert(heaps_of_gralloc(gralloc_usage::mm_heap) ==
              GrallocHeaps{.mask = 1U << 25, .is_mm_without_protected = true});

}  // namespace

TEST_CASE("every set of usage bits has the heaps that the specification's rule says") {
  int wrong = 0;
  for (std::uint32_t set = 0; set < 1U << bits.size(); ++set) {
    std::uint32_t usage = 0;
    for (std::size_t bit = 0; bit < bits.size(); ++bit) usage |= (set >> bit & 1) != 0 ? bits[bit] : 0;
    wrong += !(heaps_of_gralloc(usage) == told(usage));
    wrong += !(heaps_of_gralloc(usage | 0x000fbfff) == heaps_of_gralloc(usage));  // all others mean nothing here
  }
  CHECK(wrong == 0);
}

TEST_CASE("bits are those that programs were compiled with") {
  using namespace gralloc_usage;
  const std::array<std::uint32_t, 12> named = {is_protected,   external_block, external_cc, cp_buffer,
                                               camera_heap,    uncached,       unsynchronized, external_only,
                                               system_heap,    ui_contig_heap, iommu_heap,  mm_heap};
  CHECK(named == bits);
}
