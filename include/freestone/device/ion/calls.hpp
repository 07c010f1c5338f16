// The structs of ION's commands, as each generation lays them out. (shared/spec: ION 1.1 to 1.4.)
#pragma once

#include <cstdint>

#include <freestone/device/wire.hpp>

namespace freestone::device {

// g1: pointers as handles (MSM 3.4). g2: a mask of heaps and flags apart (late MSM). g3: integers as handles (AOSP 3.10 to
// Linux 4.11). g4: no handles (Linux 4.12 to 5.10). Of two generations one number may have two layouts: so a node speaks one.
enum class IonGeneration : std::uint8_t { g1, g2, g3, g4 };

constexpr bool has_pointer_handles(IonGeneration generation) noexcept { return generation <= IonGeneration::g2; }
// Whose numbers for heap types are Qualcomm's, and whose heaps are asked in ascending order of their ids.
constexpr bool is_msm(IonGeneration generation) noexcept { return generation <= IonGeneration::g2; }

// ALLOC's. In G1 `heap_mask` is its flags: bit 31 is none of the heaps, but ION_SECURE.
struct IonAllocation {
  std::uint64_t length = 0;
  std::uint64_t align = 0;
  std::uint32_t heap_mask = 0;
  std::uint32_t flags = 0;
  std::uint64_t handle = 0;
  std::uint32_t fd = 0;
  std::uint32_t unused = 0;
};

template <IonGeneration>
struct IonAllocationLayout;
template <>
struct IonAllocationLayout<IonGeneration::g1> {
  using type = Wire<IonAllocation, Field<&IonAllocation::length, FieldType::word>, Field<&IonAllocation::align, FieldType::word>,
                    Field<&IonAllocation::heap_mask, FieldType::u32>, Field<&IonAllocation::handle, FieldType::word>>;
};
template <>
struct IonAllocationLayout<IonGeneration::g2> {
  using type = Wire<IonAllocation, Field<&IonAllocation::length, FieldType::word>, Field<&IonAllocation::align, FieldType::word>,
                    Field<&IonAllocation::heap_mask, FieldType::u32>, Field<&IonAllocation::flags, FieldType::u32>,
                    Field<&IonAllocation::handle, FieldType::word>>;
};
template <>
struct IonAllocationLayout<IonGeneration::g3> {
  using type = Wire<IonAllocation, Field<&IonAllocation::length, FieldType::word>, Field<&IonAllocation::align, FieldType::word>,
                    Field<&IonAllocation::heap_mask, FieldType::u32>, Field<&IonAllocation::flags, FieldType::u32>,
                    Field<&IonAllocation::handle, FieldType::s32>>;
};
template <>
struct IonAllocationLayout<IonGeneration::g4> {
  using type = Wire<IonAllocation, Field<&IonAllocation::length, FieldType::u64>, Field<&IonAllocation::heap_mask, FieldType::u32>,
                    Field<&IonAllocation::flags, FieldType::u32>, Field<&IonAllocation::fd, FieldType::u32>,
                    Field<&IonAllocation::unused, FieldType::u32>>;
};
template <IonGeneration generation>
using IonAllocationWire = typename IonAllocationLayout<generation>::type;

// Of a handle: a pointer in G1 and G2, an int in G3.
template <IonGeneration generation>
inline constexpr FieldType ion_handle = has_pointer_handles(generation) ? FieldType::word : FieldType::s32;

// FREE's
struct IonHandle {
  std::uint64_t handle = 0;
};
template <IonGeneration generation>
using IonHandleWire = Wire<IonHandle, Field<&IonHandle::handle, ion_handle<generation>>>;

// MAP's, SHARE's, IMPORT's and SYNC's
struct IonFd {
  std::uint64_t handle = 0;
  std::int32_t fd = 0;
};
template <IonGeneration generation>
using IonFdWire = Wire<IonFd, Field<&IonFd::handle, ion_handle<generation>>, Field<&IonFd::fd, FieldType::s32>>;

// CUSTOM's
struct IonCustom {
  std::uint32_t command = 0;
  std::uint64_t argument = 0;
};
using IonCustomWire = Wire<IonCustom, Field<&IonCustom::command, FieldType::u32>, Field<&IonCustom::argument, FieldType::word>>;

// The cache operations', of G1 and G2
struct IonCacheCall {
  std::uint64_t handle = 0;
  std::int32_t fd = 0;
  std::uint64_t address = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
};
using IonCacheWire = Wire<IonCacheCall, Field<&IonCacheCall::handle, FieldType::word>, Field<&IonCacheCall::fd, FieldType::s32>,
                          Field<&IonCacheCall::address, FieldType::word>, Field<&IonCacheCall::offset, FieldType::u32>,
                          Field<&IonCacheCall::length, FieldType::u32>>;

// GET_FLAGS'
struct IonFlags {
  std::uint64_t handle = 0;
  std::uint64_t flags = 0;
};
using IonFlagsWire = Wire<IonFlags, Field<&IonFlags::handle, FieldType::word>, Field<&IonFlags::flags, FieldType::word>>;

// PREFETCH's and DRAIN's, of G2
struct IonPrefetch {
  std::int32_t heap = 0;
  std::uint64_t length = 0;
};
using IonPrefetchWire = Wire<IonPrefetch, Field<&IonPrefetch::heap, FieldType::s32>, Field<&IonPrefetch::length, FieldType::word>>;

// HEAP_QUERY's, and of each heap's record what stands behind its name.
struct IonQuery {
  std::uint32_t count = 0;
  std::uint32_t reserved0 = 0;
  std::uint64_t heaps = 0;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
};
using IonQueryWire = Wire<IonQuery, Field<&IonQuery::count, FieldType::u32>, Field<&IonQuery::reserved0, FieldType::u32>,
                          Field<&IonQuery::heaps, FieldType::u64>, Field<&IonQuery::reserved1, FieldType::u32>,
                          Field<&IonQuery::reserved2, FieldType::u32>>;
struct IonHeapRecord {
  std::uint32_t type = 0;
  std::uint32_t id = 0;
  std::uint32_t reserved0 = 0;
  std::uint32_t reserved1 = 0;
  std::uint32_t reserved2 = 0;
};
using IonHeapRecordWire = Wire<IonHeapRecord, Field<&IonHeapRecord::type, FieldType::u32>,
                               Field<&IonHeapRecord::id, FieldType::u32>, Field<&IonHeapRecord::reserved0, FieldType::u32>,
                               Field<&IonHeapRecord::reserved1, FieldType::u32>,
                               Field<&IonHeapRecord::reserved2, FieldType::u32>>;

// ABI_VERSION's; Android's
struct IonVersion {
  std::uint32_t number = 0;
};
using IonVersionWire = Wire<IonVersion, Field<&IonVersion::number, FieldType::u32>>;

// Bits of flags. (G1 has but `secure`, in its mask; bits 17 to 27 of G2's are selectors of secure heaps and pools.)
namespace ion_flag {
inline constexpr std::uint32_t cached = 1;
inline constexpr std::uint32_t cached_needs_sync = 2;
inline constexpr std::uint32_t force_contiguous = std::uint32_t{1} << 30;
inline constexpr std::uint32_t secure = std::uint32_t{1} << 31;
}  // namespace ion_flag

}  // namespace freestone::device
