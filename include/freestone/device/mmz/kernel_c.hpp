// kernel.h's functions, over an MmzKernel of one's own: FREESTONE_MMZ_KERNEL_C(kernel) defines them in the unit that has it.
#pragma once

#include <cstdint>

#include <freestone/core/units.hpp>
#include <freestone/device/answer.hpp>
#include <freestone/device/ion/cache_range.hpp>
#include <freestone/device/mmz/kernel.h>
#include <freestone/device/mmz/zones.hpp>

namespace freestone::device {

// The calls of the MmzKernel K, in C's types. What stands for a zone or a block is its handle's number.
template <class K>
struct MmzKernelC {
  using Zone = typename K::ZoneHandle;
  using Block = typename K::BlockHandle;

  mmz_zone* create(const char* name, std::uint64_t gfp, std::uint64_t start, std::uint64_t size) const noexcept {
    return given<mmz_zone>(kernel.mmz_create({.name = name, .gfp = gfp, .start = start, .size = size}));
  }
  mmz_zone* find(std::uint64_t gfp, const char* name) const noexcept { return given<mmz_zone>(kernel.mmz_find(name, gfp)); }

  mmb* alloc(const char* name, std::uint64_t size, std::uint64_t align, std::uint64_t gfp, const char* zone) const noexcept {
    return given<mmb>(kernel.mmb_alloc({.size = size, .align = align, .gfp = gfp, .zone = zone, .name = name}));
  }
  mmb* alloc_v2(const char* name, std::uint64_t size, std::uint64_t align, std::uint64_t gfp, const char* zone, unsigned order) const noexcept {
    return given<mmb>(kernel.mmb_alloc(
        {.size = size, .align = align, .gfp = gfp, .zone = zone, .name = name, .is_v2 = true, .order = static_cast<MmzOrder>(order)}));
  }
  mmb* alloc_in(const char* name, std::uint64_t size, std::uint64_t align, mmz_zone* of) const noexcept {
    return given<mmb>(kernel.mmb_alloc_in(zone(of), {.size = size, .align = align, .name = name}));
  }
  int place(mmb* of, struct mmb_place& told) const noexcept {
    typename K::Place place;
    if (kernel.mmb_place(block(of), place) != 0) return K::failed;
    told = {place.physical, place.length, place.kernel, place.flags(), place.references, place.maps};
    return 0;
  }

  mmb* by_physical(std::uint64_t physical) const noexcept { return given<mmb>(kernel.getby_phys(physical)); }
  mmb* by_physical_2(std::uint64_t physical, std::uint64_t& offset) const noexcept {
    return given<mmb>(kernel.getby_phys_2(physical, offset));
  }
  mmb* by_address(const void* address) const noexcept { return given<mmb>(kernel.getby_kvirt(address)); }

  int maintain(const void* address, std::uint64_t physical, std::uint64_t length, CacheCommand command) const noexcept {
    return static_cast<int>(Answer(kernel.maintain_byaddr(address, physical, length, command)).value());
  }

  static Zone zone(const mmz_zone* of) noexcept { return {reinterpret_cast<std::uintptr_t>(of)}; }
  static Block block(const mmb* of) noexcept { return {reinterpret_cast<std::uintptr_t>(of)}; }

  K& kernel;

 private:
  template <class T, class Handle>
  static T* given(Handle handle) noexcept {
    return reinterpret_cast<T*>(handle.number);
  }
};
template <class K>
MmzKernelC<K> mmz_kernel_c(K& kernel) noexcept {
  return {kernel};
}

}  // namespace freestone::device

// `kernel` is an MmzKernel, by whatever expression; once in a program, and in no namespace.
#define FREESTONE_MMZ_KERNEL_C(kernel)                                                                                                \
  extern "C" {                                                                                                                        \
  mmz_zone* mmz_create(const char* name, unsigned long gfp, std::uint64_t start, std::uint64_t size) {                                \
    return freestone::device::mmz_kernel_c(kernel).create(name, gfp, start, size);                                                    \
  }                                                                                                                                   \
  int mmz_fill_in(mmz_zone* zone, unsigned type, std::uint64_t block_align) {                                                         \
    return (kernel).mmz_fill_in(freestone::device::mmz_kernel_c(kernel).zone(zone), type, block_align);                               \
  }                                                                                                                                   \
  int mmz_register(mmz_zone* zone) { return (kernel).mmz_register(freestone::device::mmz_kernel_c(kernel).zone(zone)); }              \
  int mmz_unregister(mmz_zone* zone) { return (kernel).mmz_unregister(freestone::device::mmz_kernel_c(kernel).zone(zone)); }          \
  int mmz_destroy(mmz_zone* zone) { return (kernel).mmz_destroy(freestone::device::mmz_kernel_c(kernel).zone(zone)); }                \
  mmz_zone* mmz_find(unsigned long gfp, const char* name) { return freestone::device::mmz_kernel_c(kernel).find(gfp, name); }         \
  mmb* mmb_alloc(const char* name, std::uint64_t size, std::uint64_t align, unsigned long gfp, const char* zone) {                    \
    return freestone::device::mmz_kernel_c(kernel).alloc(name, size, align, gfp, zone);                                               \
  }                                                                                                                                   \
  mmb* mmb_alloc_v2(const char* name, std::uint64_t size, std::uint64_t align, unsigned long gfp, const char* zone, unsigned order) { \
    return freestone::device::mmz_kernel_c(kernel).alloc_v2(name, size, align, gfp, zone, order);                                     \
  }                                                                                                                                   \
  mmb* mmb_alloc_in(const char* name, std::uint64_t size, std::uint64_t align, mmz_zone* zone) {                                      \
    return freestone::device::mmz_kernel_c(kernel).alloc_in(name, size, align, zone);                                                 \
  }                                                                                                                                   \
  int mmb_free(mmb* block) { return (kernel).mmb_free(freestone::device::mmz_kernel_c(kernel).block(block)); }                        \
  int mmb_get(mmb* block) { return (kernel).mmb_get(freestone::device::mmz_kernel_c(kernel).block(block)); }                          \
  int mmb_put(mmb* block) { return (kernel).mmb_put(freestone::device::mmz_kernel_c(kernel).block(block)); }                          \
  void* mmb_map2kern(mmb* block) { return (kernel).mmb_map2kern(freestone::device::mmz_kernel_c(kernel).block(block), false); }       \
  void* mmb_map2kern_cached(mmb* block) { return (kernel).mmb_map2kern(freestone::device::mmz_kernel_c(kernel).block(block), true); } \
  int mmb_unmap(mmb* block) { return (kernel).mmb_unmap(freestone::device::mmz_kernel_c(kernel).block(block)); }                      \
  int mmb_place(mmb* block, struct mmb_place* place) { return freestone::device::mmz_kernel_c(kernel).place(block, *place); }         \
  mmb* mmb_getby_phys(std::uint64_t phys) { return freestone::device::mmz_kernel_c(kernel).by_physical(phys); }                       \
  mmb* mmb_getby_phys_2(std::uint64_t phys, std::uint64_t* offset) {                                                                  \
    return freestone::device::mmz_kernel_c(kernel).by_physical_2(phys, *offset);                                                      \
  }                                                                                                                                   \
  mmb* mmb_getby_kvirt(const void* address) { return freestone::device::mmz_kernel_c(kernel).by_address(address); }                   \
  int mmb_clean_byaddr(const void* kvirt, std::uint64_t phys, std::uint64_t length) {                                                 \
    return freestone::device::mmz_kernel_c(kernel).maintain(kvirt, phys, length, freestone::device::CacheCommand::clean);             \
  }                                                                                                                                   \
  int mmb_invalidate_byaddr(const void* kvirt, std::uint64_t phys, std::uint64_t length) {                                            \
    return freestone::device::mmz_kernel_c(kernel).maintain(kvirt, phys, length, freestone::device::CacheCommand::invalidate);        \
  }                                                                                                                                   \
  int mmb_flush_byaddr(const void* kvirt, std::uint64_t phys, std::uint64_t length) {                                                 \
    return freestone::device::mmz_kernel_c(kernel).maintain(kvirt, phys, length, freestone::device::CacheCommand::clean_invalidate);  \
  }                                                                                                                                   \
  void* mmf_map(std::uint64_t phys, std::uint64_t length) { return (kernel).mmf_map(phys, length, false); }                           \
  void* mmf_map_cached(std::uint64_t phys, std::uint64_t length) { return (kernel).mmf_map(phys, length, true); }                     \
  int mmf_unmap(void* address) { return (kernel).mmf_unmap(address); }                                                                \
  }
