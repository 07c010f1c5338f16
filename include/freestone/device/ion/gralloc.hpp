// Which of ION's heaps a graphics HAL of Android 4.x asks for: from the usage that programs say to a mask of heaps.
// (shared/spec: ION 9.)
#pragma once

#include <cstdint>

#include <freestone/device/ion/heap_ids.hpp>

namespace freestone::device {

// Bits of a usage: Qualcomm's own, and of Android's the one that counts here.
namespace gralloc_usage {
inline constexpr std::uint32_t is_protected = 0x00004000;  // Android's: shown by protected hardware only
inline constexpr std::uint32_t external_block = 0x00100000;
inline constexpr std::uint32_t external_cc = 0x00200000;
inline constexpr std::uint32_t cp_buffer = 0x00400000;
inline constexpr std::uint32_t camera_heap = 0x01000000;
inline constexpr std::uint32_t uncached = 0x02000000;
inline constexpr std::uint32_t unsynchronized = 0x04000000;
inline constexpr std::uint32_t external_only = 0x08000000;
inline constexpr std::uint32_t system_heap = 0x10000000;     // PRIVATE_0
inline constexpr std::uint32_t ui_contig_heap = 0x20000000;  // PRIVATE_1
inline constexpr std::uint32_t iommu_heap = 0x40000000;      // PRIVATE_2
inline constexpr std::uint32_t mm_heap = 0x80000000;         // PRIVATE_3
inline constexpr std::uint32_t adsp_heap = 0;  // this and the next are gone on these chips: whoever says them says nothing
inline constexpr std::uint32_t smi_heap = 0;
}  // namespace gralloc_usage

struct GrallocHeaps {
  std::uint32_t mask = 0;               // for ALLOC: a bit for each heap, and msm_heap::secure
  std::uint32_t fallback = 0;           // to ask for when these are full; 0: there is nothing else
  bool wants_uncached = false;          // by the descriptor of /dev/ion that was opened with O_DSYNC
  bool is_mm_without_protected = false; // worth a warning: the MM heap was meant, and is not given

  friend constexpr bool operator==(const GrallocHeaps&, const GrallocHeaps&) noexcept = default;
};

namespace detail {
constexpr std::uint32_t gralloc_heaps_named(std::uint32_t usage) noexcept {
  const bool is_protected = (usage & gralloc_usage::is_protected) != 0;
  std::uint32_t heaps = 0;
  if ((usage & gralloc_usage::ui_contig_heap) != 0) heaps |= msm_heap::bit(msm_heap::sf);
  if ((usage & gralloc_usage::system_heap) != 0) heaps |= msm_heap::bit(msm_heap::system);
  if ((usage & gralloc_usage::iommu_heap) != 0) heaps |= msm_heap::bit(msm_heap::iommu);
  if ((usage & gralloc_usage::camera_heap) != 0) heaps |= msm_heap::bit(msm_heap::camera);
  if ((usage & gralloc_usage::mm_heap) != 0) heaps |= msm_heap::bit(is_protected ? msm_heap::cp_mm : msm_heap::iommu);
  return heaps;
}
}  // namespace detail

// A usage that names no heap may be shown past the compositor: then it is the contiguous heap or the IOMMU's, and the
// system's when those are full. Who wants a secure buffer never gets another, be it by the fallback: where none of these
// heaps has secure ones ION refuses.
constexpr GrallocHeaps heaps_of_gralloc(std::uint32_t usage) noexcept {
  const std::uint32_t named = detail::gralloc_heaps_named(usage);
  const std::uint32_t secure = (usage & gralloc_usage::cp_buffer) != 0 ? msm_heap::secure : 0;
  const bool wants_mm = (usage & gralloc_usage::mm_heap) != 0;
  return {.mask = (named != 0 ? named : msm_heap::bit(msm_heap::sf) | msm_heap::bit(msm_heap::iommu)) | secure,
          .fallback = named != 0 ? 0 : msm_heap::bit(msm_heap::system) | secure,
          .wants_uncached = (usage & gralloc_usage::uncached) != 0,
          .is_mm_without_protected = wants_mm && (usage & gralloc_usage::is_protected) == 0};
}

}  // namespace freestone::device
