// The heaps of Qualcomm's ION (generations G1 and G2) by their ids, and by what they are called. (shared/spec: ION 2.1.)
#pragma once

#include <cstdint>

namespace freestone::device::msm_heap {

inline constexpr unsigned cp_mm = 8;
inline constexpr unsigned cp_mfc = 12;
inline constexpr unsigned cp_wb = 16;
inline constexpr unsigned camera = 20;
inline constexpr unsigned system_contig = 21;
inline constexpr unsigned adsp = 22;
inline constexpr unsigned pil1 = 23;
inline constexpr unsigned sf = 24;
inline constexpr unsigned iommu = 25;
inline constexpr unsigned pil2 = 26;
inline constexpr unsigned qsecom = 27;
inline constexpr unsigned audio = 28;
inline constexpr unsigned mm_firmware = 29;
inline constexpr unsigned system = 30;
inline constexpr unsigned system_of_3_10 = iommu;  // in Linux 3.10 two names for one heap

// An id's bit in a mask of heaps, as callers of ALLOC give it. No heap has the last bit: it is ION_SECURE.
constexpr std::uint32_t bit(unsigned id) noexcept { return std::uint32_t{1} << id; }
inline constexpr std::uint32_t secure = bit(31);

// What a board calls the heap of that id; "" where nothing is agreed.
constexpr const char* name(unsigned id) noexcept {
  switch (id) {
    case cp_mm: return "mm";
    case cp_mfc: return "mfc";
    case cp_wb: return "wb";
    case camera: return "camera_preview";
    case system_contig: return "kmalloc";
    case sf: return "sf";
    case iommu: return "iommu";
    case qsecom: return "qsecom";
    case audio: return "audio";
    case mm_firmware: return "mm_fw";
    case system: return "vmalloc";
    default: return "";
  }
}

}  // namespace freestone::device::msm_heap
